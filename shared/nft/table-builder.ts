import { shortHash } from "#shared/balance/stable-hash.ts";
import type { BaseChain, Dynamic, Elements, Slots, TableState } from "./table-state.ts";

const SMALLEST_MAP = 1024;

/** Collects one table. Chains are named by their content; equal chains become one. */
export class TableBuilder {
  readonly #family: "netdev" | "inet";
  readonly #name: string;
  readonly #counters = new Set<string>();
  readonly #chains = new Map<string, readonly string[]>();
  readonly #bases = new Map<string, BaseChain>();
  readonly #maps = new Map<string, { kind: "map" | "set"; declaration: string; elements: Map<string, string> }>();
  readonly #luts = new Map<string, Slots>();
  readonly #dynamic = new Map<string, Dynamic>();
  readonly #before: TableState["chains"] | undefined;

  /**
   * @param before the same table as it was built last: chains that stay are taken from there, so that what was built for them
   * now is forgotten at once.
   */
  constructor(family: "netdev" | "inet", name: string, before?: TableState) {
    this.#family = family;
    this.#name = name;
    this.#before = before?.chains;
  }

  /** @returns the chain's name, `prefix-hash`. */
  chain(prefix: string, rules: readonly string[]): string {
    const name = `${prefix}-${shortHash(rules.join("\n"))}`;
    this.#chains.set(name, this.#before?.get(name) ?? rules);
    return name;
  }

  base(name: string, base: BaseChain): void {
    this.#bases.set(name, base);
  }

  /** @returns nft's words to count in a named counter. */
  count(name: string): string {
    this.#counters.add(name);
    return `counter name "${name}"`;
  }

  map(name: string, declaration: string): Map<string, string> {
    return this.#elements("map", name, declaration);
  }

  /**
   * A map with room for a fixed number of elements, four times as many at each step: the kernel keeps it in a plain hash
   * table, which answers sooner than one that grows by itself. The name tells the size, because a map keeps its own.
   */
  sizedMap(
    name: string,
    type: string,
    count: number,
  ): { readonly name: string; readonly elements: Map<string, string> } {
    let size = SMALLEST_MAP;
    while (size < count) size *= 4;
    const sized = `${name}-${size}`;
    return { name: sized, elements: this.map(sized, `type ${type} : verdict; size ${size};`) };
  }

  set(name: string, declaration: string, members: Iterable<string>): void {
    const elements = this.#elements("set", name, declaration);
    for (const member of members) elements.set(member, "");
  }

  #elements(kind: "map" | "set", name: string, declaration: string): Map<string, string> {
    const known = this.#maps.get(name);
    if (known) return known.elements;
    const elements = new Map<string, string>();
    this.#maps.set(name, { kind, declaration, elements });
    return elements;
  }

  lut(name: string, slots: Uint32Array): void {
    this.#luts.set(name, { slots });
  }

  /** A map or set whose elements packets make. */
  dynamic(name: string, kind: Dynamic["kind"], declaration: string): void {
    this.#dynamic.set(name, { kind, declaration });
  }

  finish(): TableState {
    const maps: ReadonlyMap<string, Elements> = this.#maps;
    return {
      family: this.#family,
      name: this.#name,
      counters: this.#counters,
      chains: this.#chains,
      bases: this.#bases,
      maps,
      luts: this.#luts,
      dynamic: this.#dynamic,
    };
  }
}
