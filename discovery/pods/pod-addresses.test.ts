import { expect, it } from "vitest";
import { podSchema } from "#shared/api/core.ts";
import { NETWORK_STATUS_ANNOTATION } from "#shared/api/names.ts";
import { ip } from "#shared/net/ip.ts";
import { PodAddresses } from "./pod-addresses.ts";

function pod(name: string, networks: Readonly<Record<string, string>>, { phase = "Running", uid = "1" } = {}) {
  const attachments = Object.entries(networks).map(([network, address]) => ({
    name: network,
    interface: "net1",
    ips: [address],
  }));
  return podSchema.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, uid, annotations: { [NETWORK_STATUS_ANNOTATION]: JSON.stringify(attachments) } },
    status: { phase, podIPs: [{ ip: "10.0.0.1" }] },
  });
}

it("a pod has the addresses of its attachments and its own, until it has ended", () => {
  const pods = new PodAddresses();
  expect(pods.see("default/a", pod("a", { "ns/x": "192.0.2.1" }))).toBe(false);
  expect(pods.ownerOf(ip("192.0.2.1"), "ns/x")).toBe("default/a");
  // Heard over a router: on no network of ours.
  expect(pods.ownerOf(ip("192.0.2.1"), undefined)).toBe("default/a");
  expect(pods.ownerOf(ip("10.0.0.1"), undefined)).toBe("default/a");
  expect(pods.see("default/a", pod("a", { "ns/x": "192.0.2.2" }))).toBe(false);
  expect(pods.ownerOf(ip("192.0.2.1"), "ns/x")).toBeUndefined();
  expect(pods.see("default/a", pod("a", { "ns/x": "192.0.2.2" }, { phase: "Succeeded" }))).toBe(true);
  expect(pods.ownerOf(ip("192.0.2.2"), "ns/x")).toBeUndefined();
  expect(pods.see("default/a", undefined)).toBe(false);
});

it("a pod that was made anew under its name is another one", () => {
  const pods = new PodAddresses();
  pods.see("default/a", pod("a", { "ns/x": "192.0.2.1" }));
  expect(pods.see("default/a", pod("a", { "ns/x": "192.0.2.1" }, { uid: "2" }))).toBe(true);
  expect(pods.ownerOf(ip("192.0.2.1"), "ns/x")).toBe("default/a");
});

it("of one address on two networks, the one where it was heard; in doubt none", () => {
  const pods = new PodAddresses();
  pods.see("default/a", pod("a", { "ns/x": "192.0.2.1" }));
  pods.see("default/b", pod("b", { "ns/y": "192.0.2.1" }));
  expect(pods.ownerOf(ip("192.0.2.1"), "ns/y")).toBe("default/b");
  expect(pods.ownerOf(ip("192.0.2.1"), undefined)).toBeUndefined();
  pods.see("default/b", undefined);
  expect(pods.ownerOf(ip("192.0.2.1"), undefined)).toBe("default/a");
});
