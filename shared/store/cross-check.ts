import { FLOW_PROTOCOL } from "../api/gateway.ts";
import { type AnyObject, describeRef, isKind, KINDS, type Kind, type ObjectRef } from "../api/kinds.ts";
import { API_GROUP, CONTROLLER_NAME } from "../api/names.ts";
import type { Route } from "../api/routes.ts";
import type { Topic } from "../api/topic.ts";
import { nearest } from "./nearest.ts";
import { type ObjectIndex, refOf } from "./object-index.ts";

/** A reference between objects that leads nowhere, or to something that does not fit. */
export interface Dangling {
  readonly ref: ObjectRef;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly fix?: string;
}

/** Checks the references of objects that were given together: what they name but is not there may be in the cluster. */
class ReferenceCheck {
  readonly found: Dangling[] = [];
  readonly #objects: ObjectIndex;

  constructor(objects: ObjectIndex) {
    this.#objects = objects;
  }

  check(object: AnyObject): void {
    switch (object.kind) {
      case "GatewayClass": {
        const { parametersRef } = object.spec;
        if (object.spec.controllerName !== CONTROLLER_NAME || parametersRef === undefined) return;
        const { kind, name, namespace = "default" } = parametersRef;
        this.#resolve(object, ["spec", "parametersRef", "name"], kind, namespace, name);
        return;
      }
      case "Gateway": {
        const { namespace } = object.metadata;
        this.#resolve(object, ["spec", "gatewayClassName"], "GatewayClass", "", object.spec.gatewayClassName);
        const parametersRef = object.spec.infrastructure?.parametersRef;
        if (parametersRef !== undefined) {
          const path = ["spec", "infrastructure", "parametersRef", "name"];
          this.#resolve(object, path, parametersRef.kind, namespace, parametersRef.name);
        }
        object.spec.addresses.forEach((address, index) => {
          if (address.type !== "causeway.dev/AddressPool") return;
          this.#resolve(object, ["spec", "addresses", index, "value"], "AddressPool", "", address.value);
        });
        return;
      }
      case "GatewayParameters":
        object.spec.addressPools.forEach((name, index) => {
          this.#resolve(object, ["spec", "addressPools", index], "AddressPool", "", name);
        });
        return;
      case "BgpPeer": {
        const secretRef = object.spec.password?.secretRef;
        if (secretRef === undefined) return;
        const path = ["spec", "password", "secretRef"];
        if (!this.#resolve(object, [...path, "name"], "Secret", object.metadata.namespace, secretRef.name)) return;
        const secret = this.#objects.get("Secret", object.metadata.namespace, secretRef.name);
        const keys = Object.keys({ ...secret?.data, ...secret?.stringData });
        if (secret === undefined || keys.includes(secretRef.key)) return;
        const message = `Secret ${secretRef.name} has no key ${JSON.stringify(secretRef.key)}`;
        this.#add(object, [...path, "key"], message, keys.length === 0 ? undefined : `it has ${keys.join(", ")}`);
        return;
      }
      case "HealthCheck":
        object.spec.targetRefs.forEach(({ name, sectionName }, index) => {
          const path = ["spec", "targetRefs", index];
          const { namespace } = object.metadata;
          if (!this.#resolve(object, [...path, "name"], "Service", namespace, name) || sectionName === undefined)
            return;
          const names = this.#objects.get("Service", namespace, name)?.spec.ports.flatMap((port) => port.name ?? []);
          if (names === undefined || names.includes(sectionName)) return;
          const message = `Service ${namespace}/${name} has no port named ${sectionName}`;
          const fix = names.length === 0 ? undefined : `it has ${names.join(", ")}`;
          this.#add(object, [...path, "sectionName"], message, fix);
        });
        return;
      case "Topic":
        this.#topic(object);
        return;
      case "TCPRoute":
      case "UDPRoute":
        this.#parents(object);
        object.spec.rules.forEach(({ backendRefs }, index) => {
          this.#backends(object, ["spec", "rules", index, "backendRefs"], backendRefs);
        });
        return;
      case "FlowRoute":
        this.#parents(object);
        this.#backends(object, ["spec", "backendRefs"], object.spec.backendRefs);
        return;
      default:
    }
  }

  #topic(topic: Topic): void {
    const { service, types } = topic.spec;
    const { namespace } = topic.metadata;
    if (this.#resolve(topic, ["spec", "service", "name"], "Service", namespace, service.name)) {
      const ports = this.#objects.get("Service", namespace, service.name)?.spec.ports ?? [];
      if (ports.length > 0 && !ports.some(({ port, protocol }) => port === service.port && protocol === "TCP")) {
        const has = ports.map(({ port, protocol }) => `${port}/${protocol}`).join(", ");
        const message = `Service ${namespace}/${service.name} has no TCP port ${service.port}`;
        this.#add(topic, ["spec", "service", "port"], message, `it has ${has}`);
      }
    }
    if (types.configMap === undefined) return;
    const { name, key } = types.configMap;
    const path = ["spec", "types", "configMap"];
    if (!this.#resolve(topic, [...path, "name"], "ConfigMap", namespace, name)) return;
    const data = this.#objects.get("ConfigMap", namespace, name)?.data;
    if (data === undefined || Object.hasOwn(data, key)) return;
    const keys = Object.keys(data);
    const message = `ConfigMap ${namespace}/${name} has no key ${JSON.stringify(key)}`;
    this.#add(topic, [...path, "key"], message, keys.length === 0 ? undefined : `it has ${keys.join(", ")}`);
  }

  #parents(route: Route): void {
    route.spec.parentRefs.forEach((parent, index) => {
      if (parent.kind !== "Gateway") return;
      const namespace = parent.namespace ?? route.metadata.namespace;
      const path = ["spec", "parentRefs", index];
      if (!this.#resolve(route, [...path, "name"], "Gateway", namespace, parent.name)) return;
      const listeners = this.#objects.get("Gateway", namespace, parent.name)?.spec.listeners ?? [];
      if (listeners.length === 0) return;
      const fitting = listeners.filter(
        ({ name, port }) => (parent.sectionName ?? name) === name && (parent.port ?? port) === port,
      );
      const gateway = `Gateway ${namespace}/${parent.name}`;
      if (fitting.length === 0) {
        const field = parent.sectionName === undefined ? "port" : "sectionName";
        const has = listeners.map(({ name, port }) => `${name} (port ${port})`).join(", ");
        this.#add(route, [...path, field], `${gateway} has no such listener`, `it has ${has}`);
        return;
      }
      const wanted = { TCPRoute: "TCP", UDPRoute: "UDP", FlowRoute: FLOW_PROTOCOL }[route.kind];
      if (route.kind === "FlowRoute" || fitting.some(({ protocol }) => protocol === wanted)) return;
      const field = parent.sectionName === undefined ? "name" : "sectionName";
      const has = fitting.map(({ name, protocol }) => `${name} is ${protocol}`).join(", ");
      this.#add(route, [...path, field], `a ${route.kind} needs a listener of protocol ${wanted}`, has);
    });
  }

  #backends(
    route: Route,
    path: readonly PropertyKey[],
    backends: readonly {
      group: string;
      kind: string;
      namespace?: string | undefined;
      name: string;
      port?: number | undefined;
    }[],
  ): void {
    backends.forEach((backend, index) => {
      const namespace = backend.namespace ?? route.metadata.namespace;
      if (backend.kind === "Topic" && backend.group === API_GROUP) {
        this.#resolve(route, [...path, index, "name"], "Topic", namespace, backend.name);
      }
      if (backend.kind !== "Service") return;
      if (!this.#resolve(route, [...path, index, "name"], "Service", namespace, backend.name)) return;
      const ports = this.#objects.get("Service", namespace, backend.name)?.spec.ports.map(({ port }) => port) ?? [];
      if (backend.port === undefined || ports.length === 0 || ports.includes(backend.port)) return;
      const message = `Service ${namespace}/${backend.name} has no port ${backend.port}`;
      this.#add(route, [...path, index, "port"], message, `it has ${ports.join(", ")}`);
    });
  }

  /** Whether the object that is named was found, or need not be among the given ones: none of its kind is. */
  #resolve(from: AnyObject, path: readonly PropertyKey[], kind: string, namespace: string, name: string): boolean {
    if (!isKind(kind)) return true;
    const all: readonly AnyObject[] = this.#objects.list(kind);
    const wanted = { kind, namespace: KINDS[kind].namespaced ? namespace : "", name };
    if (this.#objects.get(kind, wanted.namespace, name) !== undefined) return true;
    if (all.length > 0)
      this.#add(from, path, `there is no ${describeRef(wanted)} among these files`, suggest(wanted, all));
    return false;
  }

  #add(from: AnyObject, path: readonly PropertyKey[], message: string, fix: string | undefined): void {
    this.found.push({ ref: refOf(from), path, message, ...(fix === undefined ? {} : { fix }) });
  }
}

function suggest({ name, namespace }: ObjectRef<Kind>, all: readonly AnyObject[]): string | undefined {
  const elsewhere = all.find((object) => object.metadata.name === name);
  if (elsewhere !== undefined) return `there is ${describeRef(refOf(elsewhere))}`;
  const near = nearest(
    name,
    all.filter((object) => object.metadata.namespace === namespace).map((object) => object.metadata.name),
  );
  return near === undefined ? undefined : `did you mean ${near}?`;
}

/** The references that do not resolve among the objects, as far as that can be told without a cluster. */
export function checkReferences(objects: ObjectIndex): readonly Dangling[] {
  const check = new ReferenceCheck(objects);
  for (const object of objects.all()) check.check(object);
  return check.found;
}
