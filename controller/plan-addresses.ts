import type { AddressPool } from "#shared/api/address-pool.ts";
import { FLOW_PROTOCOL, type Gateway } from "#shared/api/gateway.ts";
import type { GatewayParameters } from "#shared/api/gateway-parameters.ts";
import { bigIntToIp, type Family, familyOf, type Ip, ipToBigInt } from "#shared/net/ip.ts";
import { byAge } from "#shared/resolve/age.ts";
import { PoolSpace, type PoolSpan } from "./pool-space.ts";

/** A Gateway that wants addresses. */
export interface AddressDemand {
  readonly gateway: Gateway;
  readonly parameters: GatewayParameters | undefined;
  /** False for a Gateway that is not accepted: it keeps what it has and gets nothing new. */
  readonly accepted: boolean;
  /** What it has now. */
  readonly held: readonly Ip[];
}

interface AddressProblem {
  /** As the Gateway's condition Programmed names it. */
  readonly reason: "AddressNotUsable" | "AddressNotAssigned";
  readonly message: string;
}

export interface GatewayAddresses {
  /** What it had, in the same order; then what is new, in the order of its wishes. */
  readonly addresses: readonly Ip[];
  readonly problems: readonly AddressProblem[];
  /** Held before and taken away, with the cause. */
  readonly released: readonly { readonly address: Ip; readonly cause: string }[];
}

export interface PoolUsage {
  readonly pool: AddressPool;
  /** Why blocks of the pool are left out; empty when all are used. */
  readonly unusable: readonly string[];
  /** Only the families that the pool holds. */
  readonly families: readonly { readonly family: Family; readonly used: bigint; readonly free: bigint }[];
}

export interface AddressPlan {
  /** By {@link gatewayKey}. */
  readonly gateways: ReadonlyMap<string, GatewayAddresses>;
  readonly pools: readonly PoolUsage[];
}

/** One address that a Gateway wants. */
type Want =
  | { readonly kind: "value"; readonly address: Ip }
  | { readonly kind: "pool"; readonly name: string; readonly family: Family | undefined }
  | { readonly kind: "automatic"; readonly family: Family };

export function gatewayKey({ metadata }: Gateway): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function wantedFamilies(parameters: GatewayParameters | undefined): readonly Family[] {
  return (parameters?.spec.ipFamilies ?? []).map((family) => (family === "IPv4" ? 4 : 6));
}

/** Repeated wishes without a value go round the families: two of them on a dual-stack Gateway give one address each. */
function wantsOf({ gateway, parameters }: AddressDemand, space: PoolSpace): readonly Want[] {
  const families = wantedFamilies(parameters);
  const { addresses } = gateway.spec;
  if (addresses.length === 0) return families.map((family) => ({ kind: "automatic", family }));
  const turns = new Map<string, number>();
  const nextOf = (key: string, choice: readonly Family[]): Family | undefined => {
    const turn = turns.get(key) ?? 0;
    turns.set(key, turn + 1);
    return choice[turn % choice.length];
  };
  const wants = new Map<string, Want>();
  addresses.forEach((wish, index) => {
    if (wish.type === "IPAddress" && wish.value !== undefined) {
      wants.set(wish.value, { kind: "value", address: wish.value });
    } else if (wish.type === "IPAddress") {
      const family = nextOf("", families);
      if (family !== undefined) wants.set(`#${index}`, { kind: "automatic", family });
    } else if (wish.type === "causeway.dev/AddressPool") {
      const span = space.get(wish.value);
      const preferred = families.filter((family) => span?.has(family));
      const choice = preferred.length > 0 ? preferred : ([4, 6] as const).filter((family) => span?.has(family));
      wants.set(`#${index}`, { kind: "pool", name: wish.value, family: nextOf(wish.value, choice) });
    }
  });
  return [...wants.values()];
}

function sameParameters(a: AddressDemand, b: AddressDemand): boolean {
  const [first, second] = [a.parameters?.metadata, b.parameters?.metadata];
  return first !== undefined && first.namespace === second?.namespace && first.name === second.name;
}

/** Why two Gateways cannot have one address; undefined when they can. */
function sharingProblem(a: AddressDemand, b: AddressDemand): string | undefined {
  if (!sameParameters(a, b)) return "Gateways share an address only when they use the same GatewayParameters";
  for (const mine of a.gateway.spec.listeners) {
    for (const theirs of b.gateway.spec.listeners) {
      // A Flow listener admits routes for any port.
      if (mine.protocol === FLOW_PROTOCOL || theirs.protocol === FLOW_PROTOCOL) {
        return `a ${FLOW_PROTOCOL} listener takes every port, so its Gateway cannot share an address`;
      }
      if (mine.port === theirs.port && mine.protocol === theirs.protocol) {
        return `both have a listener on port ${mine.port}/${mine.protocol}`;
      }
    }
  }
  return undefined;
}

class Planner {
  readonly #space: PoolSpace;
  readonly #holders = new Map<Ip, AddressDemand[]>();

  constructor(space: PoolSpace) {
    this.#space = space;
  }

  /** Gives the address to the Gateway; the text says why not. */
  claim(demand: AddressDemand, address: Ip, span: PoolSpan): string | undefined {
    const holders = this.#holders.get(address) ?? [];
    for (const holder of holders) {
      const problem = holder === demand ? undefined : sharingProblem(demand, holder);
      if (problem !== undefined) return `${address} belongs to Gateway ${gatewayKey(holder.gateway)}: ${problem}`;
    }
    this.#holders.set(address, [...holders, demand]);
    span.take(ipToBigInt(address), familyOf(address));
    return undefined;
  }

  /** Pools that automatic addresses of the Gateway come from, in the order in which they are tried. */
  automaticPools({ gateway, parameters }: AddressDemand): readonly PoolSpan[] {
    const named = parameters?.spec.addressPools ?? [];
    const spans =
      named.length > 0
        ? named.flatMap((name) => this.#space.get(name) ?? [])
        : this.#space.byPriority.filter(({ pool }) => pool.spec.autoAssign);
    return spans.filter((span) => span.allows(gateway));
  }

  /** The pool of an address that the Gateway has, if it may go on having it for this wish; else the cause. */
  keepable(demand: AddressDemand, want: Want, address: Ip): PoolSpan | { readonly cause: string } {
    const span = this.#space.poolOf(address);
    if (span === undefined) return { cause: "no AddressPool covers it any more" };
    if (!span.allows(demand.gateway)) return { cause: `AddressPool ${span.name} does not allow the Gateway any more` };
    const named = demand.parameters?.spec.addressPools ?? [];
    switch (want.kind) {
      case "value":
        return want.address === address ? span : { cause: "the Gateway asks for another address" };
      case "pool":
        return want.name === span.name && want.family === familyOf(address)
          ? span
          : { cause: `the Gateway asks for an address of AddressPool ${want.name}` };
      case "automatic":
        if (want.family !== familyOf(address))
          return { cause: `the Gateway wants no further IPv${familyOf(address)} VIP` };
        // autoAssign governs what is given out, not what was: an address moves only when it must.
        return named.length === 0 || named.includes(span.name)
          ? span
          : { cause: `AddressPool ${span.name} is not in the addressPools of its GatewayParameters any more` };
    }
  }

  requestValue(demand: AddressDemand, address: Ip): Ip | AddressProblem {
    const unusable = (message: string): AddressProblem => ({ reason: "AddressNotUsable", message });
    const span = this.#space.poolOf(address);
    if (span === undefined) return unusable(`${address} is in no AddressPool; add it to one, or ask for another`);
    if (!span.allows(demand.gateway)) {
      return unusable(`${address} is in AddressPool ${span.name}, which does not allow this Gateway`);
    }
    if (span.avoids(ipToBigInt(address), familyOf(address))) {
      const why = familyOf(address) === 4 ? "avoidBuggyIPs leaves it out" : "it is the subnet-router anycast address";
      return unusable(`${address} of AddressPool ${span.name} is not given out: ${why}; ask for another`);
    }
    const problem = this.claim(demand, address, span);
    return problem === undefined ? address : unusable(problem);
  }

  requestFrom(demand: AddressDemand, spans: readonly PoolSpan[], family: Family): Ip | undefined {
    for (const span of spans) {
      const value = span.lowestFree(family);
      if (value === undefined) continue;
      const address = bigIntToIp(value, family);
      if (this.claim(demand, address, span) === undefined) return address;
    }
    return undefined;
  }

  requestPool(demand: AddressDemand, name: string, family: Family | undefined): Ip | AddressProblem {
    const span = this.#space.get(name);
    const unusable = (message: string): AddressProblem => ({ reason: "AddressNotUsable", message });
    if (span === undefined) return unusable(`AddressPool ${name} does not exist`);
    if (!span.allows(demand.gateway)) return unusable(`AddressPool ${name} does not allow this Gateway`);
    if (family === undefined) return unusable(`AddressPool ${name} has no usable block; see its conditions`);
    return this.requestFrom(demand, [span], family) ?? exhausted([span], family);
  }

  requestAutomatic(demand: AddressDemand, family: Family): Ip | AddressProblem {
    const spans = this.automaticPools(demand).filter((span) => span.has(family));
    if (spans.length > 0) return this.requestFrom(demand, spans, family) ?? exhausted(spans, family);
    const named = demand.parameters?.spec.addressPools ?? [];
    const which = named.length > 0 ? `none of the AddressPools ${named.join(", ")}` : "no AddressPool with autoAssign";
    const message =
      `${which} allows this Gateway and has IPv${family} addresses; add a pool, or leave IPv${family} out of ` +
      "ipFamilies in the GatewayParameters";
    return { reason: "AddressNotAssigned", message };
  }

  request(demand: AddressDemand, want: Want): Ip | AddressProblem {
    switch (want.kind) {
      case "value":
        return this.requestValue(demand, want.address);
      case "pool":
        return this.requestPool(demand, want.name, want.family);
      case "automatic":
        return this.requestAutomatic(demand, want.family);
    }
  }
}

function exhausted(spans: readonly PoolSpan[], family: Family): AddressProblem {
  const sizes = spans.map((span) => `${span.name} (all of its ${span.size(family)} IPv${family} addresses are in use)`);
  return {
    reason: "AddressNotAssigned",
    message: `no free IPv${family} address in AddressPool ${sizes.join(", ")}; enlarge a pool or free an address`,
  };
}

/** A demand while the plan is made: `granted` runs parallel to `wants`. */
interface Case {
  readonly demand: AddressDemand;
  readonly wants: readonly Want[];
  readonly granted: (Ip | undefined)[];
  readonly problems: AddressProblem[];
  readonly causes: Map<Ip, string>;
}

/**
 * The order in which wishes are granted, for what is held as for what is new: were it not the same, the address that an
 * automatic wish got from a pool would be taken for the pool's the next time, and the automatic wish get another.
 */
const PRECISION: readonly Want["kind"][] = ["value", "pool", "automatic"];

/** What the Gateway has and may keep, the most precise wish first; the rest stays open. */
function keepHeld(planner: Planner, { demand, wants, granted, causes }: Case): void {
  const left = new Set(demand.held);
  const ordered = [...wants.entries()].sort(([, a], [, b]) => PRECISION.indexOf(a.kind) - PRECISION.indexOf(b.kind));
  ordered.forEach(([index, want]) => {
    for (const address of left) {
      const span = planner.keepable(demand, want, address);
      if ("cause" in span) {
        if (!causes.has(address)) causes.set(address, span.cause);
        continue;
      }
      const problem = planner.claim(demand, address, span);
      if (problem !== undefined) {
        causes.set(address, problem);
        continue;
      }
      left.delete(address);
      granted[index] = address;
      return;
    }
  });
}

/** A Gateway that is not accepted keeps whatever a pool still allows it. */
function keepEverything(planner: Planner, space: PoolSpace, { demand, granted, causes }: Case): void {
  for (const address of new Set(demand.held)) {
    const span = space.poolOf(address);
    const problem =
      span?.allows(demand.gateway) === true
        ? planner.claim(demand, address, span)
        : "no AddressPool that allows the Gateway covers it any more";
    if (problem === undefined) granted.push(address);
    else causes.set(address, problem);
  }
}

/**
 * Who has which VIP. What a Gateway has it keeps while a pool covers it, allows the Gateway and the Gateway wants it;
 * then addresses asked for by value are given, then those of a named pool, then the rest; each time the oldest Gateway
 * first. The same input gives the same plan, and a plan fed back as `held` gives itself.
 */
export function planAddresses(demands: readonly AddressDemand[], pools: readonly AddressPool[]): AddressPlan {
  const space = new PoolSpace(pools);
  const planner = new Planner(space);
  const cases = [...demands]
    .sort((a, b) => byAge(a.gateway, b.gateway))
    .map((demand): Case => {
      const wants = demand.accepted ? wantsOf(demand, space) : [];
      return { demand, wants, granted: wants.map(() => undefined), problems: [], causes: new Map() };
    });
  for (const one of cases) {
    if (one.demand.accepted) keepHeld(planner, one);
    else keepEverything(planner, space, one);
  }
  for (const kind of PRECISION) {
    for (const { demand, wants, granted, problems } of cases) {
      wants.forEach((want, index) => {
        if (granted[index] !== undefined || want.kind !== kind) return;
        const result = planner.request(demand, want);
        if (typeof result === "string") granted[index] = result;
        else problems.push(result);
      });
    }
  }
  const gateways = cases.map(({ demand, granted, problems, causes }): [string, GatewayAddresses] => {
    const all = granted.flatMap((address) => address ?? []);
    const kept = [...new Set(demand.held)].filter((address) => all.includes(address));
    const addresses = [...kept, ...all.filter((address) => !kept.includes(address))];
    const released = demand.held
      .filter((address) => !addresses.includes(address))
      .map((address) => ({ address, cause: causes.get(address) ?? "the Gateway does not want it any more" }));
    return [gatewayKey(demand.gateway), { addresses, problems, released }];
  });
  const usage = pools.flatMap((pool): PoolUsage[] => {
    const span = space.get(pool.metadata.name);
    if (span === undefined) return [];
    const families = ([4, 6] as const)
      .filter((family) => span.has(family))
      .map((family) => ({ family, used: span.used(family), free: span.free(family) }));
    return [{ pool, unusable: span.unusable, families }];
  });
  return { gateways: new Map(gateways), pools: usage };
}
