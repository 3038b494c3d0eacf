import { pino } from "pino";
import { afterAll, beforeAll } from "vitest";
import { KubernetesStore } from "#shared/store/kubernetes/kubernetes-store.ts";
import { refOf } from "#shared/store/object-index.ts";
import { storeContract } from "#shared/store/store-contract.fixture.ts";
import { Cluster } from "./support/cluster.ts";
import { manifestOf } from "./support/manifest-of.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => cluster.close());

storeContract("kubernetes", async () => {
  const abort = new AbortController();
  const store = new KubernetesStore({
    config: cluster.config(cluster.user("controller")),
    userAgent: "causeway-test",
    log: pino({ level: "silent" }),
    signal: abort.signal,
  });
  const made = new Map<string, ReturnType<typeof manifestOf>>();
  return {
    store,
    put: async (object) => {
      const manifest = manifestOf(object);
      made.set(JSON.stringify(refOf(object)), manifest);
      await cluster.apply(manifest);
    },
    remove: async (ref) => {
      const key = JSON.stringify(ref);
      const manifest = made.get(key);
      made.delete(key);
      if (manifest !== undefined) await cluster.delete(manifest);
    },
    close: async () => {
      abort.abort();
      for (const manifest of made.values()) await cluster.delete(manifest);
    },
  };
});
