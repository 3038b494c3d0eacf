import { pino } from "pino";
import { expect, vi } from "vitest";
import { describeRef, type Kind, type ObjectRef } from "#shared/api/kinds.ts";
import type { ApiConfig } from "#shared/store/kubernetes/api-config.ts";
import { KubernetesStore, type KubernetesStoreOptions } from "#shared/store/kubernetes/kubernetes-store.ts";
import type { Interest, ObjectView } from "#shared/store/object-store.ts";

/** As in a cluster, only sooner. */
export const SOON = {
  firstRetryMs: 5,
  maxRetryMs: 50,
  pingMs: 100,
  pingLimitMs: 300,
  connectMs: 500,
  requestMs: 2_000,
  unservedMs: 50,
} as const;

/** A store that watches, with what it was told. */
export interface Followed {
  readonly store: KubernetesStore;
  readonly view: ObjectView;
  readonly changes: string[];
  /** Everything of level warn and above, as text. */
  readonly warnings: string[];
  names(kind: Kind): string[];
  close(): void;
}

export async function follow(
  config: ApiConfig,
  interests: readonly Interest[],
  times: KubernetesStoreOptions["times"] = {},
): Promise<Followed> {
  const abort = new AbortController();
  const changes: string[] = [];
  const warnings: string[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => void warnings.push(line) });
  const store = new KubernetesStore({
    config,
    log,
    signal: abort.signal,
    userAgent: "causeway-test",
    times: { ...SOON, ...times },
  });
  const onChange = (ref: ObjectRef): void => void changes.push(describeRef(ref));
  const view = await store.watch(interests, onChange, abort.signal);
  return {
    store,
    view,
    changes,
    warnings,
    names: (kind) => view.list(kind).map(({ metadata }) => metadata.name),
    close: () => abort.abort(),
  };
}

export async function eventually(check: () => void, timeout = 15_000): Promise<void> {
  await vi.waitFor(check, { timeout, interval: 10 });
}

export async function sees(followed: Followed, kind: Kind, names: readonly string[]): Promise<void> {
  await eventually(() => expect(followed.names(kind)).toEqual(names));
}
