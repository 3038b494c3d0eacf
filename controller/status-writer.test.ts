import { expect, test } from "vitest";
import type { ObjectRef } from "#shared/api/kinds.ts";
import { condition } from "#shared/resolve/conditions.ts";
import { type Manifest, object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { StatusWriter } from "./status-writer.ts";

const POOL: ObjectRef = { kind: "AddressPool", namespace: "", name: "vips" };
const pool: Manifest = { kind: "AddressPool", metadata: { name: "vips" }, spec: { addresses: ["198.51.100.0/24"] } };
const saying = (message: string, status: "True" | "False" = "True") => ({
  conditions: [condition("Accepted", status, "Accepted", message, 1)],
});

function world() {
  const clock = { timeMs: Date.parse("2026-01-01T00:00:00Z"), nowMs: () => clock.timeMs };
  const store = new MemoryStore([object(pool)]);
  const seen = () => store.get("AddressPool", "", "vips")?.status;
  return { clock, store, seen, writer: new StatusWriter(store, clock) };
}

test("the same is written once, also by a writer that starts anew", async () => {
  const { clock, store, seen, writer } = world();
  expect(await writer.write(POOL, saying("all is well"), seen())).toBe(true);
  clock.timeMs += 60_000;
  expect(await writer.write(POOL, saying("all is well"), seen())).toBe(false);
  expect(await new StatusWriter(store, clock).write(POOL, saying("all is well"), seen())).toBe(false);
});

test("what somebody else changed or took away is written again", async () => {
  const { seen, writer } = world();
  await writer.write(POOL, saying("all is well"), seen());
  const [ours] = seen()?.conditions ?? [];
  expect(await writer.write(POOL, saying("all is well"), { conditions: [] })).toBe(true);
  expect(await writer.write(POOL, saying("all is well"), { conditions: [{ ...ours, status: "False" }] })).toBe(true);
  // Who says more beside it is left alone.
  const more = { conditions: [{ type: "Theirs", status: "True" }, ours], theirs: 1 };
  expect(await writer.write(POOL, saying("all is well"), more)).toBe(false);
});

test("a view that lags behind does not bring an old time back", async () => {
  const { clock, seen, writer } = world();
  const before = seen();
  await writer.write(POOL, saying("one"), before);
  const [first] = seen()?.conditions ?? [];
  clock.timeMs += 60_000;
  expect(await writer.write(POOL, saying("two"), before)).toBe(true);
  expect(seen()?.conditions?.[0]).toMatchObject({ message: "two", lastTransitionTime: first?.lastTransitionTime });
  await writer.write(POOL, saying("two", "False"), before);
  expect(seen()?.conditions?.[0]?.lastTransitionTime).toBe("2026-01-01T00:01:00Z");
});

test("an object that is gone needs no status; what comes in its place is told anew", async () => {
  const { store, seen, writer } = world();
  await writer.write(POOL, saying("all is well"), seen());
  store.remove(POOL);
  expect(await writer.write(POOL, saying("another"), undefined)).toBe(false);
  store.put(object(pool));
  expect(await writer.write(POOL, saying("another"), seen())).toBe(true);
  expect(seen()?.conditions).toHaveLength(1);
});
