import { type Cidr, cidrSpan, familyOf, type Ip, ipToBigInt, parseIp } from "#shared/net/ip.ts";

/** An interface of ours on one of the domain's networks. */
export interface NetworkInterface {
  /** `namespace/name` of the NetworkAttachmentDefinition. */
  readonly network: string;
  readonly interface: string;
  /** Of the interface's addresses. */
  readonly prefixes: readonly Cidr[];
}

/** What is known of an address that datagrams come from, or may go to. */
export interface Source {
  readonly address: Ip;
  /** Interface of a link-local address. */
  readonly zone: string | undefined;
  readonly isAllowed: boolean;
  /** The network of ours that the address is directly on; undefined: it is behind a router. */
  readonly network: string | undefined;
}

interface Span {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
  readonly length: number;
}

/** Of addresses that only strangers use; those that are forgotten are looked at anew. */
const MAX_REMEMBERED = 8_192;

/** Which addresses may take part, and where they are. Answers are remembered, as most datagrams come from few addresses. */
export class SourceBook {
  readonly #networks: readonly { readonly network: string; readonly interface: string; readonly span: Span }[];
  readonly #allowed: readonly Span[];
  readonly #known = new Map<string, Source | undefined>();

  /** @param allowedSources undefined: the prefixes of the networks' interfaces. */
  constructor(networks: readonly NetworkInterface[], allowedSources: readonly Cidr[] | undefined) {
    const spans = networks.flatMap(({ network, interface: device, prefixes }) =>
      prefixes.map((prefix) => ({ network, interface: device, span: cidrSpan(prefix) })),
    );
    this.#networks = spans.sort((a, b) => b.span.length - a.span.length);
    this.#allowed = allowedSources?.map(cidrSpan) ?? spans.map(({ span }) => span);
  }

  /** Undefined for what is no address. A link-local address has its zone, `fe80::1%net1`. */
  find(text: string): Source | undefined {
    if (this.#known.has(text)) return this.#known.get(text);
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
    const source = this.#look(text);
    this.#known.set(text, source);
    return source;
  }

  #look(text: string): Source | undefined {
    const [bare = "", zone] = text.split("%");
    const address = parseIp(bare);
    if (address === undefined) return undefined;
    const value = ipToBigInt(address);
    const within = ({ family, first, last }: Span): boolean =>
      familyOf(address) === family && value >= first && value <= last;
    const near = this.#networks.find(
      ({ span, interface: device }) => within(span) && (zone === undefined || zone === device),
    );
    const isHere = zone === undefined || near !== undefined;
    return {
      address,
      zone,
      network: near?.network,
      isAllowed: isHere && isUnicast(address) && this.#allowed.some(within),
    };
  }
}

function isUnicast(address: Ip): boolean {
  if (familyOf(address) === 6) return address !== "::" && !address.startsWith("ff");
  const first = Number(address.split(".")[0]);
  return first > 0 && first < 224;
}
