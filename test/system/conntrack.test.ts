import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, expect, it } from "vitest";
import { conntrackEntries } from "../support/conntrack.ts";
import { sh } from "../support/testbed.ts";

const NAMESPACE = "cw-conntrack";
const DATAGRAM = `require("node:dgram").createSocket("udp4").send("x", 9, "127.0.0.1", () => process.exit())`;
const inside = (script: string): string =>
  execFileSync("ip", ["netns", "exec", NAMESPACE, "sh", "-ec", script], { encoding: "utf8" });
const send = (): string =>
  execFileSync("ip", ["netns", "exec", NAMESPACE, process.execPath, "-e", DATAGRAM], { encoding: "utf8" });

beforeAll(() => {
  sh(`ip netns add ${NAMESPACE}`);
});
afterAll(() => {
  sh(`ip netns delete ${NAMESPACE}`);
});

/** Negative control of the check that the other tests make of the gateways: where connections are tracked, it says so. */
it("sees the entries of a namespace that tracks connections", async () => {
  inside("ip link set lo up");
  expect(await conntrackEntries(inside)).toBe(0);
  send();
  expect(await conntrackEntries(inside), "without a rule that asks for it nothing is tracked").toBe(0);
  inside('nft "table inet t { chain c { type filter hook output priority 0; ct state new counter; }; }"');
  send();
  expect(await conntrackEntries(inside)).toBeGreaterThan(0);
});

/** The check must not take an unreadable number for none. */
it("fails where the kernel does not tell", async () => {
  await expect(conntrackEntries(() => "")).rejects.toThrow("does not tell");
  expect(() => sh("cat /proc/sys/net/netfilter/no_such_count")).toThrow();
});
