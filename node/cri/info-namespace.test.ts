import { expect, test } from "vitest";
import { namespaceOfInfo } from "./info-namespace.ts";

const spec = (path?: string): object => ({
  ociVersion: "1.2.0",
  linux: { namespaces: [{ type: "pid" }, { type: "network", ...(path === undefined ? {} : { path }) }] },
});

// Shapes as containerd's SandboxInfo and CRI-O's createSandboxInfo write them.
test.each<[string, object, string | undefined]>([
  [
    "containerd",
    {
      pid: 4242,
      processStatus: "running",
      netNamespaceClosed: false,
      image: "pause:3.10",
      runtimeHandler: "",
      runtimeSpec: spec("/var/run/netns/cni-1f0c"),
      cniResult: { Interfaces: { eth0: {} } },
    },
    "/var/run/netns/cni-1f0c",
  ],
  ["containerd, a sandbox that is not whole yet", { pid: 0, runtimeSpec: null }, undefined],
  ["CRI-O", { image: "pause", pid: 7, runtimeSpec: spec("/var/run/netns/5a5f7d1e") }, "/var/run/netns/5a5f7d1e"],
  [
    "CRI-O without a process of the sandbox",
    { runtimeSpec: spec("/var/run/netns/5a5f7d1e") },
    "/var/run/netns/5a5f7d1e",
  ],
  ["CRI-O before it gave that", {}, undefined],
  ["a pod on the host's network", { runtimeSpec: { linux: { namespaces: [{ type: "pid" }] } } }, undefined],
  ["a namespace that the sandbox makes itself", { runtimeSpec: spec() }, undefined],
  ["no linux section", { runtimeSpec: { ociVersion: "1.2.0" } }, undefined],
])("%s", (_, info, path) => {
  expect(namespaceOfInfo(JSON.stringify(info))).toBe(path);
});

test.each<[string, string]>([
  ["not JSON", "{"],
  ["a runtimeSpec that is none", '{"runtimeSpec":{"linux":{"namespaces":"x"}}}'],
  ["a runtimeSpec that is none", "[]"],
  ["is none", JSON.stringify({ runtimeSpec: spec("netns/x") })],
  ["is none", JSON.stringify({ runtimeSpec: spec("/run/netns/a\nb") })],
  ["is none", JSON.stringify({ runtimeSpec: spec(`/${"x".repeat(5_000)}`) })],
  ["by a process, /proc/7/ns/net", JSON.stringify({ runtimeSpec: spec("/proc/7/ns/net") })],
])("refused, %s: %s", (reason, info) => {
  expect(() => namespaceOfInfo(info)).toThrow(reason);
});
