import type { EndpointSlice } from "#shared/api/core.ts";
import { FAMILIES, type Ip } from "#shared/net/ip.ts";
import type { GatewayAttachment } from "#shared/resolve/attachment-types.ts";
import { indexSlices, isOrdinary, targetsOf } from "#shared/resolve/targets.ts";

/** Addresses of the targets of one Service's port in one family: those who share its flows. */
export type Company = ReadonlySet<Ip>;

/** The companies of everything that these Gateways serve. Pure. */
export function companies(
  gateways: readonly GatewayAttachment[],
  slices: readonly EndpointSlice[],
): readonly Company[] {
  const index = indexSlices(slices);
  const found = new Map<string, Company>();
  for (const { service, port } of gateways.flatMap(({ routes }) => routes.flatMap((route) => route.backends))) {
    // Their pods need not be set up for anything.
    if (isOrdinary(service)) continue;
    const name = `${service.metadata.namespace}/${service.metadata.name}`;
    for (const family of FAMILIES) {
      const key = `${name} ${port.protocol} ${port.name ?? ""} ${family}`;
      if (found.has(key)) continue;
      const targets = targetsOf(index.of(service), family, { name: port.name ?? "", protocol: port.protocol });
      if (targets.length > 0) found.set(key, new Set(targets.map(({ address }) => address)));
    }
  }
  return [...found.values()];
}

/** What is known of a target's address. */
type Standing =
  /** It may be given flows. `answers`: it has answered for the VIPs; undefined: it was not asked, or has not yet. */
  { readonly kind: "trusted"; readonly answers?: true } | { readonly kind: "arriving"; readonly sinceMs: number };

export type Standings = ReadonlyMap<Ip, Standing>;

/**
 * Who comes to others has to be set up first: nothing is lost while it waits. Who comes to nobody, at the start or with
 * a new Service, is trusted. Who has gone is forgotten.
 */
export function admit(before: Standings, among: readonly Company[], nowMs: number): Standings {
  const trusted = (address: Ip): boolean => before.get(address)?.kind === "trusted";
  const after = new Map<Ip, Standing>();
  for (const company of among) {
    const hasElders = [...company].some(trusted);
    for (const address of company) {
      const known = before.get(address) ?? after.get(address);
      if (known?.kind === "arriving" || !hasElders) after.set(address, known ?? { kind: "trusted" });
      else after.set(address, before.get(address) ?? { kind: "arriving", sinceMs: nowMs });
    }
  }
  return after;
}

/** Echo requests may be forbidden to all of a Service's pods: after this time silence says nothing, unless others answer. */
export const GRACE_MS = 1_000;

/** Newcomers that are waited for in vain: they have had their time, and nobody with whom they share flows answers either. */
export function givenUp(standings: Standings, among: readonly Company[], nowMs: number): readonly Ip[] {
  const late = [...standings].flatMap(([address, standing]) =>
    standing.kind === "arriving" && nowMs - standing.sinceMs >= GRACE_MS ? [address] : [],
  );
  const answers = (address: Ip): boolean => {
    const standing = standings.get(address);
    return standing?.kind === "trusted" && standing.answers === true;
  };
  return late.filter((address) => !among.some((company) => company.has(address) && [...company].some(answers)));
}

/** Of each company with a newcomer, so many of the others are asked as well until one has answered. */
const ELDERS_ASKED = 4;

/** Whom to ask: newcomers, and some of those whose answer would say that echo requests are answered at all. */
export function whomToAsk(standings: Standings, among: readonly Company[]): ReadonlySet<Ip> {
  const asked = new Set<Ip>();
  for (const company of among) {
    const known = [...company].map((address) => [address, standings.get(address)] as const);
    const newcomers = known.filter(([, standing]) => standing?.kind === "arriving");
    if (newcomers.length === 0) continue;
    for (const [address] of newcomers) asked.add(address);
    const elders = known.filter(([, standing]) => standing?.kind === "trusted");
    if (elders.some(([, standing]) => standing?.kind === "trusted" && standing.answers === true)) continue;
    for (const [address] of elders.slice(0, ELDERS_ASKED)) asked.add(address);
  }
  return asked;
}
