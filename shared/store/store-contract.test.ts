import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { ObjectRef } from "../api/kinds.ts";
import { DirectoryStore } from "./directory-store.ts";
import { MemoryStore } from "./memory-store.ts";
import { refOf } from "./object-index.ts";
import { storeContract } from "./store-contract.fixture.ts";

storeContract("memory", async () => {
  const store = new MemoryStore();
  return {
    store,
    put: async (object) => store.put(object),
    remove: async (ref) => store.remove(ref),
    close: async () => undefined,
  };
});

storeContract("directory", async () => {
  const root = mkdtempSync(join(tmpdir(), "cw-contract-"));
  const manifests = join(root, "manifests");
  mkdirSync(manifests);
  const abort = new AbortController();
  const log = pino({ level: "silent" });
  const file = ({ kind, namespace, name }: ObjectRef): string => join(manifests, `${kind}-${namespace}-${name}.json`);
  return {
    store: new DirectoryStore({ manifests, state: join(root, "state"), log, signal: abort.signal }),
    put: async (object) => {
      const { uid: _, resourceVersion: __, generation: ___, ...metadata } = object.metadata;
      writeFileSync(file(refOf(object)), JSON.stringify({ ...object, metadata }));
    },
    remove: async (ref) => rmSync(file(ref)),
    close: async () => {
      abort.abort();
      rmSync(root, { recursive: true, force: true });
    },
  };
});
