import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { LabFolder } from "./lab-folder.ts";
import { runEnvironment } from "./lab-run.ts";
import { loadTopology } from "./resolve-topology.ts";

it("names nodes and VIPs that serve in a command's environment", () => {
  const file = new URL("../examples/lab/default/topology.yaml", import.meta.url);
  const topology = loadTopology(readFileSync(file, "utf8"), "default");
  const info = {
    name: "x",
    topologyFile: "t.yaml",
    nodes: [],
    startedAt: "",
    owner: { pid: 1, startTicks: "1" },
    userNamespace: true,
  };
  const vip = (address: string, expected: string[]) => ({
    address,
    gateway: "default/edge",
    router: "router",
    expected,
    nextHops: [],
  });
  const status = {
    vips: [
      vip("198.51.100.1", []),
      vip("198.51.100.2", ["gateway-a"]),
      vip("2001:db8:100::1", ["gateway-a"]),
      vip("198.51.100.3", ["gateway-a"]),
    ],
  };
  expect(runEnvironment({ folder: new LabFolder("/labs/x"), info, topology }, status)).toMatchObject({
    CAUSEWAY_LAB: "x",
    CAUSEWAY_MANIFESTS: "/labs/x/manifests",
    CAUSEWAY_STATE_DIR: "/labs/x/state",
    LAB_CLIENT_IPV4: "203.0.113.2",
    LAB_GATEWAY_B_IPV6: "2001:db8:e::3",
    LAB_TARGET_1_IPV4: "10.1.0.11",
    LAB_VIP4: "198.51.100.2",
    LAB_VIP6: "2001:db8:100::1",
  });
});
