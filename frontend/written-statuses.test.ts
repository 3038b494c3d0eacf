import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { ObjectRef } from "#shared/api/kinds.ts";
import { admitted, schemasOfFile } from "#shared/api/structural-schema.fixture.ts";
import { ip } from "#shared/net/ip.ts";
import { object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import type { StatusOf, WriteOptions } from "#shared/store/object-store.ts";
import { InstanceReporter } from "./instance-reporter.ts";

const SCHEMAS = new Map(schemasOfFile(fileURLToPath(new URL("../deploy/crds/bgppeers.yaml", import.meta.url))));

class RecordingStore extends MemoryStore {
  readonly written: StatusOf[] = [];

  override async applyStatus(ref: ObjectRef, status: StatusOf, options: WriteOptions): Promise<void> {
    if (ref.kind === "BgpPeer") this.written.push(status);
    return super.applyStatus(ref, status, options);
  }
}

test("what an instance writes of its sessions is taken whole by an API server", async () => {
  const metadata = (name: string) => ({ name, namespace: "infra" });
  const spec = { address: "192.0.2.1", asn: 1, localAsn: 2 };
  const store = new RecordingStore([
    object({ kind: "BgpPeer", metadata: metadata("plain"), spec }),
    object({ kind: "BgpPeer", metadata: metadata("watched"), spec }),
    object({ kind: "Pod", metadata: metadata("gw-0") }),
  ]);
  const stop = new AbortController();
  const view = await store.watch([{ kind: "BgpPeer" }, { kind: "Pod" }], () => undefined, stop.signal);
  const reporter = new InstanceReporter({ store, view, pod: { namespace: "infra", name: "gw-0" } });
  const session = { address: ip("192.0.2.1"), family: 4, sinceMs: 0, message: "for 3 s", isStatic: false } as const;
  const bfd = { state: "Up", remoteState: "Init", falls: 1, message: "the time ran out" } as const;
  const ready = { ready: true, reason: "Ready", message: "" } as const;
  const states = [
    { name: "plain", state: "Established", ...session },
    { name: "watched", state: "Connecting", ...session, ...{ bfd } },
  ] as const;
  await reporter.report(states, { 4: ready, 6: ready }, 0);
  stop.abort();
  const schema = SCHEMAS.get("causeway.dev/v1alpha1 BgpPeer")?.properties?.status ?? {};
  expect(store.written).toHaveLength(2);
  for (const status of store.written) {
    const { object: stored, faults } = admitted(schema, status);
    expect(faults).toEqual([]);
    expect(stored).toEqual(status);
  }
});
