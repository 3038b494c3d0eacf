import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { RelayProcess } from "./dds-network.ts";
import { addressOf } from "./fleet.ts";

/** A relay in a namespace, at the other end of a veth pair of this one: 10.72.0.1 and up to 1,000 addresses of a fleet. */
export class FleetBed {
  readonly relay: RelayProcess;
  readonly #folder = mkdtempSync(join(tmpdir(), "causeway-fleet-"));

  constructor(addresses: number) {
    const lines = [
      "netns add fleet-relay",
      "-n fleet-relay link set lo up",
      "link add fleet0 mtu 1500 type veth peer name net1 netns fleet-relay",
      "-n fleet-relay addr add 10.72.0.1/16 dev net1",
      "-n fleet-relay link set net1 up",
      "link set fleet0 up",
    ];
    for (const line of lines) execFileSync("ip", line.split(" "));
    const batch = Array.from({ length: addresses }, (_, at) => `address add ${addressOf(at + 1)}/16 dev fleet0`);
    execFileSync("ip", ["-batch", "-"], { input: `${batch.join("\n")}\n` });
    const manifests = join(this.#folder, "manifests");
    mkdirSync(manifests);
    const domain = {
      apiVersion: "causeway.dev/v1alpha1",
      kind: "DiscoveryDomain",
      metadata: { name: "fleet" },
      spec: { networks: [{ network: "fleet", interface: "net1" }], observer: { mode: "Off" } },
    };
    writeFileSync(join(manifests, "domain.yaml"), stringify(domain));
    const runDir = join(this.#folder, "run");
    this.relay = new RelayProcess("fleet-relay", "10.72.0.1", runDir, [
      ...["--manifests", manifests, "--state", join(this.#folder, "state"), "--run-dir", runDir],
      ...["--pod", "default/relay", "--log-level", "warn"],
    ]);
  }

  /** CPU time of the relay since its start. */
  async cpuMs(): Promise<number> {
    const stat = await readFile(`/proc/${this.relay.pid}/stat`, "utf8");
    // The 14th and 15th field, counted from behind the name in parentheses; USER_HZ is 100.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  async residentKb(): Promise<number> {
    const status = await readFile(`/proc/${this.relay.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
  }

  async close(): Promise<void> {
    await this.relay.kill();
    execFileSync("ip", ["netns", "delete", "fleet-relay"]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
