import { compareText, type Plan } from "./apply-plan.ts";
import { KernelInvalidError } from "./kernel-error.ts";
import { type CanonicalRoute, canonicalRoute, isGatewayRoute, type Route, routeKey, routeText } from "./routes.ts";

/**
 * The changes that turn `actual` (our routes, from `listRoutes`) into `desired`. A destination that stays is never without
 * a route: additions and replacements come first. Routes without a gateway are added before and deleted after those with
 * one, because the kernel accepts a gateway only where a route leads to it. Desired next hops name their device: the kernel fills
 * a missing one in, and the route would look changed ever after. Throws KernelInvalidError when two desired
 * routes have the same destination, table and metric: several next hops are one route.
 */
export function planRoutes(desired: readonly Route[], actual: readonly Route[]): Plan<CanonicalRoute> {
  const present = Map.groupBy(actual.map(canonicalRoute), routeKey);
  const add: CanonicalRoute[] = [];
  const replace: CanonicalRoute[] = [];
  const remove: CanonicalRoute[] = [];
  const wanted = new Map<string, string>();
  for (const route of desired.map(canonicalRoute)) {
    const key = routeKey(route);
    const text = routeText(route);
    const twin = wanted.get(key);
    if (twin === text) continue;
    if (twin !== undefined) throw new KernelInvalidError(`route ${key}`, "EINVAL", `wanted twice: ${twin}; ${text}`);
    wanted.set(key, text);
    const there = present.get(key) ?? [];
    if (there.length === 0) {
      add.push(route);
      continue;
    }
    let kept = there.find((candidate) => routeText(candidate) === text);
    if (!kept) {
      replace.push(route);
      kept = replacedBy(route, there);
    }
    remove.push(...there.filter((candidate) => candidate !== kept));
  }
  for (const [key, routes] of present) {
    if (!wanted.has(key)) remove.push(...routes);
  }
  return { add: add.sort(linkFirst), replace: replace.sort(linkFirst), delete: remove.sort(linkFirst).reverse() };
}

/**
 * Which of several routes with one key the kernel exchanges. IPv4: the first. IPv6: the first that is like the new one in
 * having a gateway (with all its ECMP siblings), otherwise the first (net/ipv6/ip6_fib.c, fib6_add_rt2node).
 */
function replacedBy(route: CanonicalRoute, there: readonly CanonicalRoute[]): CanonicalRoute | undefined {
  if (route.family === 4) return there[0];
  return there.find((candidate) => isGatewayRoute(candidate) === isGatewayRoute(route)) ?? there[0];
}

function linkFirst(a: CanonicalRoute, b: CanonicalRoute): number {
  return Number(isGatewayRoute(a)) - Number(isGatewayRoute(b)) || compareText(routeText(a), routeText(b));
}
