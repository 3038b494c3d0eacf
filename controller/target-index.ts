import type { Pod, Service } from "#shared/api/core.ts";
import type { ObjectRef } from "#shared/api/kinds.ts";
import { SLICE_SERVICE_LABEL } from "#shared/api/names.ts";
import type { ObjectView } from "#shared/store/object-store.ts";
import { isServiceI, type ProxyNames } from "./service-targets.ts";

type Selector = readonly (readonly [string, string])[];

function selects(selector: Selector, { metadata }: Pod): boolean {
  return selector.every(([key, value]) => metadata.labels[key] === value);
}

function sameSelector(a: Selector, b: Selector): boolean {
  return a.length === b.length && a.every(([key, value], index) => b[index]?.[0] === key && b[index]?.[1] === value);
}

interface Members {
  readonly selector: Selector;
  readonly pods: Set<string>;
}

/**
 * Which pods and which slices belong to which Service, kept up to date change by change: with 5,000 pods a change must
 * not look at all of them.
 */
export class TargetIndex {
  readonly #view: ObjectView;
  readonly #names: ProxyNames;
  /** Services-i by namespace and name. */
  readonly #services = new Map<string, Map<string, Members>>();
  /** Names of our slices by Service key; the Service may be gone. */
  readonly #slices = new Map<string, Set<string>>();
  readonly #ownerOfSlice = new Map<string, string>();

  /** Reads everything once. */
  constructor(view: ObjectView, names: ProxyNames) {
    this.#view = view;
    this.#names = names;
    for (const { metadata } of view.list("Service")) {
      this.update({ kind: "Service", namespace: metadata.namespace, name: metadata.name });
    }
    for (const { metadata } of view.list("EndpointSlice")) {
      this.update({ kind: "EndpointSlice", namespace: metadata.namespace, name: metadata.name });
    }
  }

  /** Keys of all Services that have or must have slices. */
  keys(): readonly string[] {
    const services = [...this.#services].flatMap(([namespace, names]) =>
      [...names.keys()].map((name) => `${namespace}/${name}`),
    );
    return [...new Set([...services, ...this.#slices.keys()])];
  }

  /** Takes note of a change. @returns keys of the Services to look at. */
  update(ref: ObjectRef): readonly string[] {
    switch (ref.kind) {
      case "Service":
        return this.#updateService(ref);
      case "Pod":
        return this.#updatePod(ref);
      case "EndpointSlice":
        return this.#updateSlice(ref);
      default:
        return [];
    }
  }

  /** In no particular order. */
  podsOf(namespace: string, name: string): readonly Pod[] {
    const members = this.#services.get(namespace)?.get(name);
    return [...(members?.pods ?? [])].flatMap((pod) => this.#view.get("Pod", namespace, pod) ?? []);
  }

  slicesOf(namespace: string, name: string) {
    const names = [...(this.#slices.get(`${namespace}/${name}`) ?? [])].sort();
    return names.flatMap((slice) => this.#view.get("EndpointSlice", namespace, slice) ?? []);
  }

  #updateService({ namespace, name }: ObjectRef): readonly string[] {
    const inNamespace = this.#services.get(namespace) ?? new Map<string, Members>();
    this.#services.set(namespace, inNamespace);
    const service: Service | undefined = this.#view.get("Service", namespace, name);
    if (service === undefined || !isServiceI(service, this.#names)) {
      inNamespace.delete(name);
      return [`${namespace}/${name}`];
    }
    const selector = Object.entries(service.spec.selector ?? {});
    const before = inNamespace.get(name);
    if (before === undefined || !sameSelector(before.selector, selector)) {
      const pods = this.#view
        .list("Pod")
        .filter((pod) => pod.metadata.namespace === namespace && selects(selector, pod))
        .map(({ metadata }) => metadata.name);
      inNamespace.set(name, { selector, pods: new Set(pods) });
    }
    return [`${namespace}/${name}`];
  }

  #updatePod({ namespace, name }: ObjectRef): readonly string[] {
    const pod = this.#view.get("Pod", namespace, name);
    const affected: string[] = [];
    for (const [service, { selector, pods }] of this.#services.get(namespace) ?? []) {
      const isMember = pod !== undefined && selects(selector, pod);
      if (isMember || pods.has(name)) affected.push(`${namespace}/${service}`);
      if (isMember) pods.add(name);
      else pods.delete(name);
    }
    return affected;
  }

  #updateSlice({ namespace, name }: ObjectRef): readonly string[] {
    const key = `${namespace}/${name}`;
    const slice = this.#view.get("EndpointSlice", namespace, name);
    // A slice of ours whose label somebody removed belongs to the Service without a name, which never exists.
    const owner = slice && `${namespace}/${slice.metadata.labels[SLICE_SERVICE_LABEL] ?? ""}`;
    const before = this.#ownerOfSlice.get(key);
    if (before !== undefined && before !== owner) {
      const left = this.#slices.get(before);
      left?.delete(name);
      if (left?.size === 0) this.#slices.delete(before);
    }
    if (owner === undefined) {
      this.#ownerOfSlice.delete(key);
    } else {
      this.#ownerOfSlice.set(key, owner);
      this.#slices.set(owner, (this.#slices.get(owner) ?? new Set()).add(name));
    }
    return [...new Set([before, owner])].filter((entry) => entry !== undefined);
  }
}
