import pino from "pino";
import { DirectoryStore } from "#shared/store/directory-store.ts";
import type { LabFolder } from "../lab-folder.ts";
import type { PodStatusWriter } from "./kubelet.ts";

/** Writes Pods' status into the lab's store, as the kubelet. */
export function storePodStatus(folder: LabFolder, signal: AbortSignal): PodStatusWriter {
  const log = pino({ name: "kubelet", level: "warn" }, pino.destination({ dest: 2, sync: true }));
  const store = new DirectoryStore({ manifests: folder.manifests, state: folder.state, log, signal });
  return {
    write: ({ namespace, name }, status) =>
      store.applyStatus({ kind: "Pod", namespace, name }, status, { fieldManager: "kubelet" }),
  };
}
