import { expect, test } from "vitest";
import type { ObjectRef } from "#shared/api/kinds.ts";
import type { Leadership } from "#shared/process/leader-election.ts";
import { object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { StoreUnavailableError } from "#shared/store/object-store.ts";
import { LedStore } from "./led-store.ts";

const POOL: ObjectRef = { kind: "AddressPool", namespace: "", name: "vips" };
const pool = object({ kind: "AddressPool", metadata: { name: "vips" }, spec: { addresses: ["198.51.100.0/24"] } });
const options = { fieldManager: "controller" };

function world() {
  const lead = { is: true };
  const leadership: Leadership = {
    lost: new AbortController().signal,
    leads: () => lead.is,
    release: async () => undefined,
  };
  const inner = new MemoryStore([]);
  return { lead, inner, led: new LedStore(inner, leadership) };
}

test("who leads writes", async () => {
  const { inner, led } = world();
  if (pool.kind !== "AddressPool") throw new TypeError("not an AddressPool");
  await led.apply(pool, options);
  await led.applyStatus(POOL, { conditions: [] }, options);
  expect(inner.get("AddressPool", "", "vips")?.status).toBeDefined();
  await led.delete(POOL);
  expect(inner.get("AddressPool", "", "vips")).toBeUndefined();
});

test("who leads no more writes nothing, and is told so as something to try again", async () => {
  const { lead, inner, led } = world();
  if (pool.kind !== "AddressPool") throw new TypeError("not an AddressPool");
  inner.put(pool);
  const before = inner.get("AddressPool", "", "vips");
  lead.is = false;
  await expect(led.apply(pool, options)).rejects.toThrow(StoreUnavailableError);
  await expect(led.applyStatus(POOL, { conditions: [] }, options)).rejects.toThrow(StoreUnavailableError);
  await expect(led.delete(POOL)).rejects.toThrow(StoreUnavailableError);
  expect(inner.get("AddressPool", "", "vips")).toBe(before);
});
