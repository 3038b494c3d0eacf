import type { EndpointSlice, Service } from "#shared/api/core.ts";
import type { GatewayParameters } from "#shared/api/gateway-parameters.ts";
import { SLICE_MANAGED_BY_LABEL, SLICE_SERVICE_LABEL } from "#shared/api/names.ts";
import type { Route } from "#shared/api/routes.ts";
import type { AttachedRoute, Attachments, GatewayAttachment } from "#shared/resolve/attachment-types.ts";
import { servedGateways } from "#shared/resolve/intent.ts";
import { indexSlices, type SliceIndex, stateOf } from "#shared/resolve/targets.ts";

/**
 * What decides whether instances can forward as routes ask, as texts to compare. Objects are never changed in place: the
 * text of each version is made once.
 */
export class ForwardingInputs {
  readonly #texts = new WeakMap<GatewayParameters | Route | Service, string>();
  readonly #standings = new WeakMap<EndpointSlice, string>();
  readonly #targets = new WeakMap<EndpointSlice, string>();
  /** What last mattered of each slice, by `namespace/name`. */
  readonly #slices = new Map<string, string>();
  /** Keys of Services of which targets' states matter; undefined while no Gateway translates. */
  #shared: Set<string> | undefined;

  /** Whether a slice's change can matter to anybody. @param slice undefined when it is gone. */
  matters(key: string, slice: EndpointSlice | undefined): boolean {
    const before = this.#slices.get(key);
    if (slice === undefined) return this.#slices.delete(key);
    const now = this.#mattering(slice);
    this.#slices.set(key, now);
    return now !== before;
  }

  #mattering(slice: EndpointSlice): string {
    const { namespace, labels } = slice.metadata;
    const service = `${namespace}/${labels[SLICE_SERVICE_LABEL]}`;
    const text = `${service} ${labels[SLICE_MANAGED_BY_LABEL]} `;
    if (this.#shared?.has(service) === true) return text + this.#targetsOf(slice);
    // An address that comes may be another Service's target.
    const addresses = this.#shared === undefined ? [] : slice.endpoints.map((endpoint) => endpoint.addresses[0]);
    return `${text}${this.#standingOf(slice)} ${addresses.join()}`;
  }

  /** Inputs by Gateway. @param slices In the order in which they are resolved. */
  reader(
    attachments: Attachments,
    slices: readonly EndpointSlice[],
  ): (gateway: { readonly namespace: string; readonly name: string }) => readonly string[] {
    const byService = indexSlices(slices);
    this.#shared = undefined;
    return (gateway) => {
      const served = servedGateways(attachments, gateway);
      const parameters = served[0]?.parameters;
      if (parameters === undefined) return [];
      const isNat = parameters.spec.mode === "NAT";
      const shared = isNat ? sharedServices(served, byService) : new Set<Service>();
      if (isNat) this.#shared ??= new Set();
      for (const { metadata } of shared) this.#shared?.add(`${metadata.namespace}/${metadata.name}`);
      const texts = [this.#textOf(parameters)];
      for (const { vips, routes } of served) {
        texts.push(vips.join());
        for (const attached of routes) texts.push(this.#textOf(attached.route), attachmentText(attached));
      }
      for (const service of servicesOf(served)) {
        texts.push(this.#textOf(service));
        for (const slice of byService.of(service)) {
          texts.push(shared.has(service) ? this.#targetsOf(slice) : this.#standingOf(slice));
        }
      }
      return texts;
    };
  }

  #textOf(object: GatewayParameters | Route | Service): string {
    const known = this.#texts.get(object);
    if (known !== undefined) return known;
    const { namespace, name, annotations } = object.metadata;
    const text = JSON.stringify([object.kind, namespace, name, annotations, object.spec]);
    this.#texts.set(object, text);
    return text;
  }

  /** What matters of a slice wherever targets' states do not: ports, and whether anybody takes flows at all. */
  #standingOf(slice: EndpointSlice): string {
    const known = this.#standings.get(slice);
    if (known !== undefined) return known;
    const { addressType, ports, endpoints } = slice;
    const takes = endpoints.some((endpoint) => stateOf(endpoint) !== "unready");
    const text = JSON.stringify([addressType, ports, endpoints.length > 0, takes]);
    this.#standings.set(slice, text);
    return text;
  }

  /** With every target and its state. */
  #targetsOf(slice: EndpointSlice): string {
    const known = this.#targets.get(slice);
    if (known !== undefined) return known;
    const { addressType, ports, endpoints } = slice;
    const targets = endpoints.map((endpoint) => [endpoint.addresses[0], endpoint.targetRef, stateOf(endpoint)]);
    const text = JSON.stringify([addressType, ports, targets]);
    this.#targets.set(slice, text);
    return text;
  }
}

function servicesOf(served: readonly GatewayAttachment[]): ReadonlySet<Service> {
  return new Set(served.flatMap(({ routes }) => routes.flatMap(({ backends }) => backends.map((one) => one.service))));
}

/**
 * Services of which a target may have flows of another kind, too. Stateless NAT gives each port of a target to one VIP and
 * port: among those it matters who takes flows.
 */
function sharedServices(served: readonly GatewayAttachment[], byService: SliceIndex): ReadonlySet<Service> {
  const used = new Set<Service>();
  const shared = new Set<Service>();
  for (const { listeners, backends } of served.flatMap(({ routes }) => routes)) {
    for (const { service } of backends) {
      if (used.has(service) || listeners.length > 1) shared.add(service);
      used.add(service);
    }
  }
  const owners = new Map<string, Service>();
  for (const service of used) {
    for (const { endpoints } of byService.of(service)) {
      for (const { addresses } of endpoints) {
        const [address = ""] = addresses;
        const owner = owners.get(address);
        if (owner === undefined) owners.set(address, service);
        else if (owner !== service) shared.add(service).add(owner);
      }
    }
  }
  return shared;
}

function attachmentText({ listeners, backends, invalidWeight }: AttachedRoute): string {
  return [
    ...listeners.map(({ name, port }) => `${name}:${port}`),
    ...backends.map(({ service, port, weight }) => {
      const { namespace, name } = service.metadata;
      return `${namespace}/${name}:${port.name}:${port.protocol}/${port.port}*${weight}`;
    }),
    invalidWeight,
  ].join(" ");
}
