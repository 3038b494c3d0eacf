import { type AnyObject, KINDS, type Kind, type ObjectOf } from "../api/kinds.ts";
import type { ObjectView } from "../store/object-store.ts";
import { compareText } from "./age.ts";

/* Objects for unit tests: written as manifests, parsed by the schemas that the product uses. */

export interface Manifest {
  readonly kind: Kind;
  readonly [field: string]: unknown;
}

const VERSIONS: Partial<Record<Kind, string>> = {
  Namespace: "v1",
  Service: "v1",
  Pod: "v1",
  ConfigMap: "v1",
  EndpointSlice: "discovery.k8s.io/v1",
  GatewayClass: "gateway.networking.k8s.io/v1",
  Gateway: "gateway.networking.k8s.io/v1",
  TCPRoute: "gateway.networking.k8s.io/v1",
  UDPRoute: "gateway.networking.k8s.io/v1",
  ReferenceGrant: "gateway.networking.k8s.io/v1",
};

/** @throws ZodError when the manifest is not valid. */
export function object(manifest: Manifest): AnyObject {
  return KINDS[manifest.kind].schema.parse({
    apiVersion: VERSIONS[manifest.kind] ?? "causeway.dev/v1alpha1",
    ...manifest,
  });
}

/** An ObjectView of these manifests. */
export function viewOf(manifests: readonly Manifest[]): ObjectView {
  const objects = manifests.map(object);
  function ofKind<K extends Kind>(kind: K): ObjectOf<K>[] {
    const isOfKind = (candidate: AnyObject): candidate is AnyObject & ObjectOf<K> => candidate.kind === kind;
    return objects.filter(isOfKind);
  }
  return {
    get: (kind, namespace, name) =>
      ofKind(kind).find(({ metadata }) => metadata.namespace === namespace && metadata.name === name),
    list: (kind) =>
      ofKind(kind).sort(
        (a, b) =>
          compareText(a.metadata.namespace, b.metadata.namespace) || compareText(a.metadata.name, b.metadata.name),
      ),
  };
}
