import pino from "pino";
import { expect, test } from "vitest";
import { object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { BASE, service, target } from "./run-controller.fixture.ts";
import { runController } from "./run-controller.ts";

const SERVICES = Array.from({ length: 60 }, (_, at) => `web-${at}`);

/** Each write takes a while. */
class SlowStore extends MemoryStore {
  readonly begun: string[] = [];

  override async apply(...[target, options]: Parameters<MemoryStore["apply"]>): Promise<void> {
    this.begun.push(`${target.kind} ${target.metadata.name.replace(/-[0-9a-f]{10}-0$/, "")}`);
    await new Promise((resolve) => setImmediate(resolve));
    return super.apply(target, options);
  }

  override async applyStatus(...args: Parameters<MemoryStore["applyStatus"]>): Promise<void> {
    const [{ kind, name }] = args;
    if (kind === "Service") this.begun.push(`status ${name}`);
    return super.applyStatus(...args);
  }
}

test("what changes goes before what is found at the start, and slices before statuses", async () => {
  const store = new SlowStore();
  for (const manifest of BASE) store.put(object(manifest));
  for (const [at, name] of SERVICES.entries()) {
    store.put(object(service(name)));
    store.put(object(target(`pod-${at}`, `10.1.0.${at + 1}`, name)));
  }
  const stop = new AbortController();
  const controller = await runController({
    store,
    log: pino({ level: "silent" }),
    clock: { nowMs: () => 0 },
    signal: stop.signal,
  });
  // While the first writes are under way, the last Service gets another pod.
  store.put(object(target("another", "10.1.1.1", "web-59")));
  await controller.settled();
  expect(store.begun[0]).toBe("EndpointSlice web-59");
  expect(store.begun.filter((what) => what.startsWith("EndpointSlice")).sort()).toEqual(
    SERVICES.map((name) => `EndpointSlice ${name}`).sort(),
  );
  const firstStatus = store.begun.findIndex((what) => what.startsWith("status"));
  expect(store.begun.slice(firstStatus).sort()).toEqual(SERVICES.map((name) => `status ${name}`).sort());
  stop.abort();
  await controller.done;
});
