import pino from "pino";
import { expect, test } from "vitest";
import { object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { StoreRefusedError } from "#shared/store/object-store.ts";
import { BASE, gateway, service, target } from "./run-controller.fixture.ts";
import { runController } from "./run-controller.ts";

/** Remembers the order of what happens to slices, and how many targets there were after each. */
class SliceHistory extends MemoryStore {
  readonly history: string[] = [];

  override async apply(...args: Parameters<MemoryStore["apply"]>): Promise<void> {
    await super.apply(...args);
    this.#note("apply");
  }

  override async delete(...args: Parameters<MemoryStore["delete"]>): Promise<void> {
    await super.delete(...args);
    this.#note("delete");
  }

  #note(what: string): void {
    const names = this.list("EndpointSlice").flatMap(({ endpoints }) => endpoints.map((one) => one.targetRef?.name));
    this.history.push(`${what}: ${[...new Set(names)].sort().join(" ")}`);
  }
}

async function world(store: MemoryStore) {
  const stop = new AbortController();
  const clock = { nowMs: () => Date.parse("2026-01-01T00:00:00Z") };
  const controller = await runController({ store, log: pino({ level: "silent" }), clock, signal: stop.signal });
  await controller.settled();
  return { controller, stop };
}

test("a target that moves from slice to slice is never in none: the new ones come before the old ones go", async () => {
  const store = new SliceHistory([service(), target("a", "10.0.0.1"), target("b", "10.0.0.2")].map(object));
  const { controller, stop } = await world(store);
  store.history.length = 0;
  // Other ports, other slices.
  store.put(object({ ...service(), spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] } }));
  await controller.settled();
  expect(store.history).toEqual(["apply: a b", "delete: a b"]);
  stop.abort();
  await controller.done;
});

test("an object whose status cannot be written keeps no other from its own", async () => {
  class Refusing extends MemoryStore {
    override async applyStatus(...args: Parameters<MemoryStore["applyStatus"]>): Promise<void> {
      const [ref] = args;
      if (ref.kind === "Gateway" && ref.name === "first") throw new StoreRefusedError("a webhook says no");
      await super.applyStatus(...args);
    }
  }
  const store = new Refusing([...BASE, gateway("first"), gateway("second")].map(object));
  const { stop } = await world(store);
  const accepted = (conditions: readonly { type: string; status: string }[] | undefined) =>
    conditions?.find(({ type }) => type === "Accepted")?.status;
  expect(accepted(store.get("Gateway", "infra", "first")?.status?.conditions)).not.toBe("True");
  expect(accepted(store.get("Gateway", "infra", "second")?.status?.conditions)).toBe("True");
  expect(accepted(store.get("AddressPool", "", "pool")?.status?.conditions)).toBe("True");
  stop.abort();
});
