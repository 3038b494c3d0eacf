import { Check } from "./check.ts";

/** The BGP speaker's own settings. */
export interface StartBgpOptions {
  readonly asn: number;
  /** RFC 6286: a 4-byte identifier written as an IPv4 address. */
  readonly routerId: string;
  /** TCP port to accept sessions on; -1 accepts none (only outgoing sessions). Default 179. */
  readonly listenPort?: number;
  /** Default: every IPv4 and every IPv6 address. */
  readonly listenAddresses?: readonly string[];
  /** Interface or VRF device that the listening sockets are bound to. The daemon does not report it back. */
  readonly bindToDevice?: string;
  /** Keep all equally good paths as best (ECMP) instead of one. Default false. */
  readonly useMultiplePaths?: boolean;
}

/** `StartBgpOptions` with every default filled in. */
export interface BgpGlobal {
  readonly asn: number;
  readonly routerId: string;
  readonly listenPort: number;
  readonly listenAddresses: readonly string[];
  readonly useMultiplePaths: boolean;
}

const anyAddress: readonly string[] = ["0.0.0.0", "::"];

export function checkGlobal(options: StartBgpOptions): BgpGlobal & { readonly bindToDevice?: string } {
  const check: Check = new Check("StartBgp");
  const listenPort = check.integer("listenPort", options.listenPort ?? 179, -1, 65535);
  if (listenPort === 0) check.fail("listenPort", "0 would be read as 179; use -1 to accept no connections");
  const listenAddresses = check
    .list("listenAddresses", options.listenAddresses ?? anyAddress, 64)
    .map((address, i) => check.address(`listenAddresses[${i}]`, address));
  if (listenAddresses.length === 0) check.fail("listenAddresses", "is empty; leave it out for every address");
  return {
    asn: check.asn("asn", options.asn),
    routerId: check.ipv4("routerId", options.routerId),
    listenPort,
    listenAddresses,
    useMultiplePaths: options.useMultiplePaths ?? false,
    ...(options.bindToDevice === undefined
      ? {}
      : { bindToDevice: check.interface("bindToDevice", options.bindToDevice) }),
  };
}

/** Each setting in which the running speaker differs from the wanted one, as text for a person. */
export function globalDifferences(running: BgpGlobal, wanted: BgpGlobal): string[] {
  const differences: string[] = [];
  const compare = (field: string, is: string, want: string): void => {
    if (is !== want) differences.push(`${field} is ${is}, wanted ${want}`);
  };
  const addresses = (global: BgpGlobal): string => global.listenAddresses.toSorted().join(" ");
  compare("asn", String(running.asn), String(wanted.asn));
  compare("routerId", running.routerId, wanted.routerId);
  compare("listenPort", String(running.listenPort), String(wanted.listenPort));
  // Without a listening socket the addresses have no effect, and the daemon fills in its own default.
  if (wanted.listenPort > 0) compare("listenAddresses", addresses(running), addresses(wanted));
  compare("useMultiplePaths", String(running.useMultiplePaths), String(wanted.useMultiplePaths));
  return differences;
}
