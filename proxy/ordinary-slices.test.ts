import { describe, expect, it } from "vitest";
import type { ObjectRef } from "#shared/api/kinds.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import type { Interest, ObjectStore, ObjectView } from "#shared/store/object-store.ts";
import { BUILT_IN, slice } from "../test/support/scenario.ts";
import { OrdinarySlices } from "./ordinary-slices.ts";

const pod = (address: string): ReadonlyMap<string, string> => new Map([["pod-1", address]]);
const builtIn = (service: string) => slice(service, 4, 80, "TCP", pod("10.244.0.1"), new Set(), BUILT_IN);

/** A store whose watches answer when they are let. */
class SlowStore implements Pick<ObjectStore, "watch"> {
  readonly store = new MemoryStore([
    builtIn("web"),
    builtIn("api"),
    builtIn("other"),
    slice("web", 6, 80, "TCP", pod("fd00::1")),
  ]);
  readonly asked: Interest[][] = [];
  readonly signals: AbortSignal[] = [];
  gate = Promise.withResolvers<void>();
  async watch(
    interests: readonly Interest[],
    onChange: (ref: ObjectRef) => void,
    signal: AbortSignal,
  ): Promise<ObjectView> {
    this.asked.push([...interests]);
    this.signals.push(signal);
    await this.gate.promise;
    return await this.store.watch(interests, onChange, signal);
  }
}

function follow(waitMs = 10) {
  const store = new SlowStore();
  const stop = new AbortController();
  const heard = { changes: 0 };
  const slices = new OrdinarySlices({
    store,
    onChange: () => {
      heard.changes++;
    },
    signal: stop.signal,
    waitMs,
  });
  const names = async (...of: string[]) => (await slices.of(of)).map(({ metadata }) => metadata.name);
  return { store, stop, heard, names };
}

describe("the built-in controller's slices", () => {
  it("are those of the named Services, and follow them", async () => {
    const { store, heard, names } = follow();
    store.gate.resolve();
    expect(await names("web")).toEqual(["web-4"]);
    expect(await names("api", "web")).toEqual(["api-4", "web-4"]);
    expect(await names("api", "web")).toEqual(["api-4", "web-4"]);
    expect(store.asked.length).toBe(2);
    expect(store.signals.map((signal) => signal.aborted)).toEqual([true, false]);
    const before = heard.changes;
    store.store.remove({ kind: "EndpointSlice", namespace: "default", name: "api-4" });
    expect(heard.changes).toBe(before + 1);
    expect(await names("api", "web")).toEqual(["web-4"]);
    expect(await names()).toEqual([]);
    expect(store.signals.every((signal) => signal.aborted)).toBe(true);
  });

  it("are waited for at first; later the former ones stand until the new ones are there", async () => {
    const { store, heard, names } = follow();
    let known: string[] | undefined;
    const first = names("web").then((found) => {
      known = found;
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(known).toBeUndefined();
    store.gate.resolve();
    await first;
    expect(known).toEqual(["web-4"]);
    store.gate = Promise.withResolvers();
    expect(await names("api")).toEqual(["web-4"]);
    // Nobody wants those any more.
    expect(await names("other")).toEqual(["web-4"]);
    expect(store.signals.map((signal) => signal.aborted)).toEqual([false, true, false]);
    const before = heard.changes;
    store.gate.resolve();
    await expect.poll(() => heard.changes).toBeGreaterThan(before);
    expect(await names("other")).toEqual(["other-4"]);
  });

  it("are asked for again when that failed", async () => {
    const { store, names } = follow();
    store.gate.reject(new Error("away"));
    await expect(names("web")).rejects.toThrow("away");
    store.gate = Promise.withResolvers();
    store.gate.resolve();
    expect(await names("web")).toEqual(["web-4"]);
  });
});
