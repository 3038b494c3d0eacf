import type { ApiObject, OwnerReference } from "./api-object.ts";
import { withMetadata } from "./api-object.ts";
import { type ResourceType, resourceName } from "./resource-type.ts";
import { conflict } from "./status-error.ts";
import type { Storage } from "./storage.ts";

export interface DeleteOptions {
  readonly preconditions?:
    | { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined }
    | undefined;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan" | undefined;
  readonly gracePeriodSeconds?: number | undefined;
}

const FOREGROUND = "foregroundDeletion";
const DEFAULT_GRACE_SECONDS = 30;

/** Deletion with finalizers, grace periods of pods, what is left of namespaces, and owner references. */
export class Deletion {
  readonly #storage: Storage;
  readonly #now: () => Date;

  constructor(storage: Storage, now: () => Date) {
    this.#storage = storage;
    this.#now = now;
  }

  /** @throws StatusError 409 when a precondition does not hold. */
  delete(type: Pick<ResourceType, "group" | "plural">, object: ApiObject, options: DeleteOptions): void {
    const { uid, resourceVersion } = options.preconditions ?? {};
    if ((uid ?? object.metadata.uid) !== object.metadata.uid) {
      throw conflict(`Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid}`);
    }
    if ((resourceVersion ?? object.metadata.resourceVersion) !== object.metadata.resourceVersion) {
      throw conflict(`Precondition failed: ResourceVersion in precondition: ${resourceVersion}`);
    }
    if (options.propagationPolicy === "Orphan") this.#orphan(object);
    const dependents = options.propagationPolicy === "Foreground" && this.#dependents(object).length > 0;
    const finalizers = [...(object.metadata.finalizers ?? []), ...(dependents ? [FOREGROUND] : [])];
    const graceSeconds = graceOf(type, object, options);
    const deletionTimestamp =
      object.metadata.deletionTimestamp ??
      new Date(this.#now().getTime() + graceSeconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
    const dying = withMetadata(object, {
      deletionTimestamp,
      deletionGracePeriodSeconds: graceSeconds,
      ...(finalizers.length > 0 ? { finalizers } : {}),
    });
    const again = object.metadata.deletionTimestamp !== undefined;
    const graceful = graceSeconds > 0 && !again;
    if (graceful || finalizers.length > 0 || this.#holdsContent(type, object)) {
      const changed = !again || object.metadata.deletionGracePeriodSeconds !== graceSeconds;
      const stored = changed ? this.#storage.put(resourceName(type), dying) : object;
      if (resourceName(type) === "namespaces") this.#emptyNamespace(object.metadata.name ?? "");
      if (dependents) for (const one of this.#dependents(object)) this.#collect(one.resource, one.object, object);
      if (!graceful) this.finish(type, stored);
      return;
    }
    if (graceSeconds > 0) return;
    this.#remove(resourceName(type), object);
  }

  /** Removes an object that is to be deleted as soon as nothing holds it any more. */
  finish(type: Pick<ResourceType, "group" | "plural">, object: ApiObject): void {
    const resource = resourceName(type);
    const { deletionGracePeriodSeconds = 0, name = "", namespace = "" } = object.metadata;
    const current = this.#storage.get(resource, namespace, name);
    if (current === undefined || current.metadata.uid !== object.metadata.uid) return;
    const finalizers = current.metadata.finalizers ?? [];
    const waits = finalizers.filter((finalizer) => finalizer !== FOREGROUND || this.#dependents(current).length > 0);
    if (waits.length > 0 || deletionGracePeriodSeconds > 0 || this.#holdsContent(type, current)) return;
    this.#remove(resource, current);
  }

  #remove(resource: string, object: ApiObject): void {
    this.#storage.remove(resource, object);
    // The garbage collector and the namespace controller are other processes: they come later.
    setImmediate(() => this.#afterRemoval(object));
  }

  #afterRemoval(object: ApiObject): void {
    for (const one of this.#dependents(object)) this.#collect(one.resource, one.object, object);
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      for (const [resource, owner] of this.#storage.all()) {
        if (owner.metadata.uid === uid && owner.metadata.deletionTimestamp !== undefined) {
          this.finish(typeNamed(resource), owner);
        }
      }
    }
    const namespace = this.#storage.get("namespaces", "", object.metadata.namespace ?? "");
    if (namespace?.metadata.deletionTimestamp !== undefined) this.finish(typeNamed("namespaces"), namespace);
  }

  #dependents(owner: ApiObject): { readonly resource: string; readonly object: ApiObject }[] {
    const { uid, namespace } = owner.metadata;
    return [...this.#storage.all()].flatMap(([resource, object]) => {
      const refers = (object.metadata.ownerReferences ?? []).some((reference) => reference.uid === uid);
      // An owner in a namespace owns nothing elsewhere.
      const reaches = namespace === undefined || object.metadata.namespace === namespace;
      return refers && reaches ? [{ resource, object }] : [];
    });
  }

  /** A dependent goes with its last owner; as long as another one lives it only loses the reference. */
  #collect(resource: string, object: ApiObject, gone: ApiObject): void {
    const others = (object.metadata.ownerReferences ?? []).filter(
      (reference) => reference.uid !== gone.metadata.uid && this.#lives(reference),
    );
    if (others.length > 0) this.#storage.put(resource, withMetadata(object, { ownerReferences: others }));
    else this.delete(typeNamed(resource), object, { propagationPolicy: "Background" });
  }

  #lives({ uid }: OwnerReference): boolean {
    for (const [, object] of this.#storage.all()) if (object.metadata.uid === uid) return true;
    return false;
  }

  #orphan(owner: ApiObject): void {
    for (const { resource, object } of this.#dependents(owner)) {
      const others = (object.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== owner.metadata.uid);
      this.#storage.put(resource, withMetadata(object, { ownerReferences: others }));
    }
  }

  #holdsContent(type: Pick<ResourceType, "group" | "plural">, { metadata: { name } }: ApiObject): boolean {
    if (resourceName(type) !== "namespaces") return false;
    for (const [, { metadata }] of this.#storage.all()) if (metadata.namespace === name) return true;
    return false;
  }

  #emptyNamespace(name: string): void {
    for (const [resource, object] of [...this.#storage.all()]) {
      if (object.metadata.namespace === name) this.delete(typeNamed(resource), object, {});
    }
  }
}

/** Pods on a node wait for their kubelet; everything else goes at once. */
function graceOf(type: Pick<ResourceType, "group" | "plural">, object: ApiObject, options: DeleteOptions): number {
  if (resourceName(type) !== "pods") return 0;
  const { spec } = object;
  const placed = typeof spec === "object" && spec !== null && "nodeName" in spec;
  return placed ? (options.gracePeriodSeconds ?? DEFAULT_GRACE_SECONDS) : 0;
}

function typeNamed(resource: string): Pick<ResourceType, "group" | "plural"> {
  const dot = resource.indexOf(".");
  return dot < 0 ? { group: "", plural: resource } : { group: resource.slice(dot + 1), plural: resource.slice(0, dot) };
}
