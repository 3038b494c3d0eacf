import { type AnyObject, isKind, KINDS, type Kind, type ObjectOf, type ObjectRef } from "../api/kinds.ts";
import type { ObjectView } from "./object-store.ts";

type Maps = { readonly [K in Kind]: KindIndex<ObjectOf<K>> };

/** The objects of one kind; the sorted list is made once and kept until the next change. */
class KindIndex<T> {
  readonly #objects = new Map<string, T>();
  #sorted: readonly T[] | undefined;

  get(namespace: string, name: string): T | undefined {
    return this.#objects.get(keyOf(namespace, name));
  }

  list(): readonly T[] {
    this.#sorted ??= [...this.#objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    return this.#sorted;
  }

  set(namespace: string, name: string, object: T): void {
    this.#objects.set(keyOf(namespace, name), object);
    this.#sorted = undefined;
  }

  delete(namespace: string, name: string): boolean {
    this.#sorted = undefined;
    return this.#objects.delete(keyOf(namespace, name));
  }
}

function emptyMaps(): Maps {
  return {
    Namespace: new KindIndex(),
    Service: new KindIndex(),
    EndpointSlice: new KindIndex(),
    Pod: new KindIndex(),
    ConfigMap: new KindIndex(),
    Secret: new KindIndex(),
    GatewayClass: new KindIndex(),
    Gateway: new KindIndex(),
    TCPRoute: new KindIndex(),
    UDPRoute: new KindIndex(),
    ReferenceGrant: new KindIndex(),
    GatewayParameters: new KindIndex(),
    AddressPool: new KindIndex(),
    BgpPeer: new KindIndex(),
    HealthCheck: new KindIndex(),
    DiscoveryDomain: new KindIndex(),
    Topic: new KindIndex(),
    FlowRoute: new KindIndex(),
    Deployment: new KindIndex(),
    PodDisruptionBudget: new KindIndex(),
    ServiceAccount: new KindIndex(),
    RoleBinding: new KindIndex(),
    ClusterRoleBinding: new KindIndex(),
  };
}

export const KIND_NAMES: readonly Kind[] = Object.keys(KINDS).filter(isKind);

/** Names sort before any longer name, and a namespace's objects together: neither part can hold a NUL. */
function keyOf(namespace: string, name: string): string {
  return `${namespace}\0${name}`;
}

export function refOf(object: AnyObject): ObjectRef {
  return { kind: object.kind, namespace: object.metadata.namespace, name: object.metadata.name };
}

/** Objects by kind, namespace and name. */
export class ObjectIndex implements ObjectView {
  readonly #kinds = emptyMaps();

  get<K extends Kind>(kind: K, namespace: string, name: string): ObjectOf<K> | undefined {
    return this.#kinds[kind].get(namespace, name);
  }

  list<K extends Kind>(kind: K): readonly ObjectOf<K>[] {
    return this.#kinds[kind].list();
  }

  set<K extends Kind>(kind: K, object: ObjectOf<K>): void {
    this.#kinds[kind].set(object.metadata.namespace, object.metadata.name, object);
  }

  /** Whether there was such an object. */
  delete({ kind, namespace, name }: ObjectRef): boolean {
    return this.#kinds[kind].delete(namespace, name);
  }

  *all(): Generator<AnyObject> {
    for (const kind of KIND_NAMES) yield* this.#kinds[kind].list();
  }
}
