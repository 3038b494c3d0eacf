import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { CriDouble, type RuntimeShape } from "../../test/node/cri-double.ts";
import { ContainerRuntime, ContainerRuntimeError } from "./container-runtime.ts";

let double: CriDouble;
let runtime: ContainerRuntime;
const stop = new AbortController();

const at = (sockets: readonly string[]): ContainerRuntime =>
  new ContainerRuntime({ sockets, signal: stop.signal, timeoutMs: 300 });
const ids = async (): Promise<readonly string[]> => (await runtime.readySandboxes()).map(({ id }) => id);

beforeEach(async () => {
  double = new CriDouble();
  await double.start();
  double.sandboxes = [
    { id: "a1", pod: "ns/a", path: "/run/netns/a1" },
    { id: "b1", pod: "ns/b", path: "/run/netns/b1", ready: false },
  ];
  runtime = at([double.socket]);
});
afterEach(async () => {
  runtime.close();
  await double.close();
});

test.each<[RuntimeShape, number]>([
  ["containerd", 1],
  ["cri-o", 1],
  ["cri-o without infra", 1],
  ["older cri-o", 3],
])("%s: sandboxes that are ready, and the namespace of one, in %i questions", async (shape, questions) => {
  double.shape = shape;
  expect(await runtime.readySandboxes()).toEqual([{ id: "a1", pod: "ns/a", createdAtNs: 1_000_000n }]);
  double.asked = [];
  expect(await runtime.networkNamespace("a1")).toBe("/run/netns/a1");
  expect(double.asked).toHaveLength(questions);
});

test("a sandbox that is gone has no namespace", async () => {
  expect(await runtime.networkNamespace("zz")).toBeUndefined();
});

test.each<["silence" | "garbage" | "long" | "compressed", string]>([
  ["silence", "no answer within 300 ms"],
  ["garbage", "number"],
  ["long", "message of 2147483647 bytes"],
  ["compressed", "compressed"],
])("%s is an error that names call and socket; afterwards it works again", async (fault, message) => {
  double.fault = fault;
  const error = await ids().catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ContainerRuntimeError);
  expect(String(error)).toContain(`ListPodSandbox of the container runtime at ${double.socket}: `);
  expect(String(error)).toContain(message);
  double.fault = undefined;
  expect(await ids()).toEqual(["a1"]);
});

test("a runtime that is started again is found again, on a new socket file", async () => {
  expect(await ids()).toEqual(["a1"]);
  await double.stop();
  await expect(ids()).rejects.toThrow(ContainerRuntimeError);
  await double.start();
  await vi.waitFor(async () => expect(await ids()).toEqual(["a1"]));
});

test("of several sockets the one counts on which this is spoken", async () => {
  const other = new CriDouble();
  await other.start();
  other.fault = "unimplemented";
  runtime.close();
  runtime = at(["/nowhere/cri.sock", other.socket, double.socket]);
  await expect(ids()).rejects.toThrow("unknown service");
  expect(await ids()).toEqual(["a1"]);
  await other.close();
  runtime.close();
  runtime = at(["/nowhere/a.sock", "/nowhere/b.sock"]);
  await expect(ids()).rejects.toThrow("no container runtime listens at /nowhere/a.sock or /nowhere/b.sock");
});
