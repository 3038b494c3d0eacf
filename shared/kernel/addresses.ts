import { addressBytes, canonicalAddress, type Family, formatAddress } from "./address-bytes.ts";
import { type Action, applyPlan, type FailedChange, type Plan } from "./apply-plan.ts";
import { KernelInvalidError } from "./kernel-error.ts";
import { type MessageWriter, type NetlinkMessage, parseAttributes, readU8, readU32 } from "./netlink-message.ts";
import { type NetlinkRequest, type NetlinkSocket, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./netlink-socket.ts";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFADDRMSG_BYTES = 8;
const IFA = { address: 1, local: 2, flags: 8, protocol: 11 };
const IFA_F = { noDad: 0x02, dadFailed: 0x08, tentative: 0x40, noPrefixRoute: 0x200 };

type AddressScope = "global" | "site" | "link" | "host" | "nowhere";
const SCOPES: Readonly<Record<AddressScope, number>> = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 };

export interface InterfaceAddress {
  readonly ifindex: number;
  readonly address: string;
  readonly prefixLength: number;
  readonly scope: AddressScope;
  /** The far end's address on a point-to-point device, where it differs. */
  readonly peer?: string | undefined;
  /** IPv6: usable at once, without duplicate address detection. */
  readonly noDad?: boolean;
  /** The kernel makes no connected route for the prefix. */
  readonly noPrefixRoute?: boolean;
  /** IFA_PROTO, who made it; kernels before 5.18 do not keep it (0). */
  readonly protocol?: number;
}

export interface ListedAddress extends InterfaceAddress {
  readonly family: Family;
  readonly noDad: boolean;
  readonly noPrefixRoute: boolean;
  readonly protocol: number;
  /** IPv6: duplicate address detection is not done. */
  readonly tentative: boolean;
  /** IPv6: another host has this address, so this one is not used. */
  readonly duplicate: boolean;
}

export function listAddresses(
  socket: NetlinkSocket,
  filter: { readonly ifindex?: number; readonly family?: Family } = {},
): ListedAddress[] {
  const family = filter.family === undefined ? 0 : familyNumber(filter.family);
  const request = {
    type: RTM_GETADDR,
    flags: 0,
    describe: () => "addresses",
    write: (writer: MessageWriter) =>
      void writer
        .u8(family)
        .u8(0)
        .u8(0)
        .u8(0)
        .u32(filter.ifindex ?? 0),
  };
  return socket.dump(request, (message) => {
    const parsed = parseAddress(message);
    // Kernels before 4.20 do not filter.
    if (filter.ifindex !== undefined && parsed?.ifindex !== filter.ifindex) return undefined;
    return parsed;
  });
}

/** Throws KernelExistsError when the device has the address. */
export function addAddress(socket: NetlinkSocket, address: InterfaceAddress): void {
  socket.request(addressRequest("add", address));
}

export function deleteAddress(socket: NetlinkSocket, address: InterfaceAddress): void {
  socket.request(addressRequest("delete", address));
}

export function applyAddresses(socket: NetlinkSocket, plan: Plan<InterfaceAddress>): FailedChange<InterfaceAddress>[] {
  return applyPlan(socket, plan, addressRequest);
}

/** What makes two addresses the same one to the kernel. */
export function addressKey(address: InterfaceAddress): string {
  const peer = address.peer === undefined ? "" : ` peer ${canonicalAddress(address.peer)}`;
  return `${canonicalAddress(address.address)}${peer}/${address.prefixLength} dev ${address.ifindex}`;
}

function addressRequest(action: Action, address: InterfaceAddress): NetlinkRequest {
  const flags = { add: NLM_F_CREATE | NLM_F_EXCL, replace: NLM_F_CREATE | NLM_F_REPLACE, delete: 0 }[action];
  return {
    type: action === "delete" ? RTM_DELADDR : RTM_NEWADDR,
    flags,
    describe: () => `address ${address.address}/${address.prefixLength} on device ${address.ifindex}`,
    write: (writer) => {
      const bytes = addressBytes(address.address);
      if (
        !Number.isInteger(address.prefixLength) ||
        address.prefixLength < 0 ||
        address.prefixLength > bytes.length * 8
      ) {
        throw new KernelInvalidError("prefix length", "EINVAL", `must be 0 to ${bytes.length * 8}`);
      }
      const scope = SCOPES[address.scope];
      writer
        .u8(bytes.length === 4 ? 2 : 10)
        .u8(address.prefixLength)
        .u8(0)
        .u8(scope)
        .u32(address.ifindex);
      const peer = address.peer === undefined ? bytes : addressBytes(address.peer);
      writer.attribute(IFA.local, bytes).attribute(IFA.address, peer);
      const bits = (address.noDad ? IFA_F.noDad : 0) | (address.noPrefixRoute ? IFA_F.noPrefixRoute : 0);
      if (bits !== 0) writer.attributeU32(IFA.flags, bits);
      if (address.protocol) writer.attributeU8(IFA.protocol, address.protocol);
    },
  };
}

function parseAddress({ type, payload }: NetlinkMessage): ListedAddress | undefined {
  if (type !== RTM_NEWADDR) return undefined;
  const familyByte = readU8(payload, 0);
  if (familyByte !== 2 && familyByte !== 10) return undefined;
  const attributes = parseAttributes(payload, IFADDRMSG_BYTES);
  const prefixAddress = attributes.bytes(IFA.address);
  const local = attributes.bytes(IFA.local) ?? prefixAddress;
  if (!local) return undefined;
  const address = formatAddress(local);
  const peer = prefixAddress ? formatAddress(prefixAddress) : address;
  const flags = attributes.u32(IFA.flags) ?? readU8(payload, 2);
  const scope = readU8(payload, 3);
  return {
    family: familyByte === 2 ? 4 : 6,
    ifindex: readU32(payload, 4),
    address,
    prefixLength: readU8(payload, 1),
    scope:
      scope === 0 ? "global" : scope === 254 ? "host" : scope === 253 ? "link" : scope === 200 ? "site" : "nowhere",
    peer: peer === address ? undefined : peer,
    noDad: (flags & IFA_F.noDad) !== 0,
    noPrefixRoute: (flags & IFA_F.noPrefixRoute) !== 0,
    protocol: attributes.u8(IFA.protocol) ?? 0,
    tentative: (flags & IFA_F.tentative) !== 0,
    duplicate: (flags & IFA_F.dadFailed) !== 0,
  };
}

function familyNumber(family: Family): number {
  return family === 4 ? 2 : 10;
}
