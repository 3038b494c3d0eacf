import type { MessageWriter } from "./netlink-message.ts";
import { type NetlinkSocket, NLM_F_CREATE } from "./netlink-socket.ts";
import { NFPROTO, type NftFamily } from "./nftables-dump.ts";

/** linux/netfilter/nfnetlink.h, nf_tables.h. */
const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFNL_BATCH_GENID = 1;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_DELSETELEM = 14;
const LIST = { table: 1, set: 2, elements: 3 } as const;
const LIST_ELEM = 1;
const ELEM = { key: 1, data: 2 } as const;
const DATA = { value: 1, verdict: 2 } as const;
const VERDICT = { code: 1, chain: 2 } as const;
/** NF_DROP and NF_ACCEPT, NFT_JUMP and NFT_GOTO. */
const VERDICT_CODE = { drop: 0, accept: 1, jump: 0xfffffffd, goto: 0xfffffffc } as const;
/** An attribute ends at 65,535 bytes; an element takes up to 40, and a chain's name. */
const ELEMENTS_PER_MESSAGE = 400;

/** In nft's words: `drop`, `accept`, or `jump` or `goto` and the name of a chain. */
export type Verdict = "drop" | "accept" | `${"jump" | "goto"} ${string}`;

/** An element of a map with a key of 32 bits, in the machine's order; so is a number that it gives. Without data: it goes. */
export interface MapElement {
  readonly key: number;
  readonly data?: number | Verdict;
}

export interface MapChange {
  readonly family: NftFamily;
  readonly table: string;
  readonly map: string;
  /** In this order: an element is replaced by one that goes and one that comes. */
  readonly elements: readonly MapElement[];
}

/**
 * Changes elements of maps in one nftables transaction, as nft's commands would; but what libnftables does before each
 * command, to read all tables and chains, is most of a small change's time.
 * @param generation of the ruleset for which these changes are.
 * @throws KernelError; nothing has changed then. KernelBusyError when the ruleset is of another generation.
 */
export function changeElements(netfilter: NetlinkSocket, generation: number, changes: readonly MapChange[]): void {
  const messages = changes.flatMap((change) => [...parts(change)].map((elements) => ({ ...change, elements })));
  const [first, ...more] = messages;
  if (first === undefined) return;
  const describe = (): string => `elements of the nftables map ${first.family} ${first.table} ${first.map}`;
  const error = netfilter.batch(describe() + (more.length === 0 ? "" : ` and ${more.length} more changes`), [
    {
      type: NFNL_MSG_BATCH_BEGIN,
      flags: 0,
      write: (writer) => {
        const id = new Uint8Array(4);
        new DataView(id.buffer).setUint32(0, generation);
        subsystem(writer).attribute(NFNL_BATCH_GENID, id);
      },
    },
    ...messages.map((message) => {
      const comes = message.elements[0]?.data !== undefined;
      return {
        type: (NFNL_SUBSYS_NFTABLES << 8) | (comes ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM),
        flags: comes ? NLM_F_CREATE : 0,
        write: (writer: MessageWriter) => writeChange(writer, message),
      };
    }),
    { type: NFNL_MSG_BATCH_END, flags: 0, write: (writer) => void subsystem(writer) },
  ]);
  if (error !== undefined) throw error;
}

/** Runs of elements that all come, or all go. */
function* parts({ elements }: MapChange): Generator<readonly MapElement[]> {
  let run: MapElement[] = [];
  for (const element of elements) {
    const [before] = run;
    const other = before !== undefined && (before.data === undefined) !== (element.data === undefined);
    if (other || run.length === ELEMENTS_PER_MESSAGE) {
      yield run;
      run = [];
    }
    run.push(element);
  }
  if (run.length > 0) yield run;
}

/** struct nfgenmsg, with the subsystem in network order. */
function subsystem(writer: MessageWriter): MessageWriter {
  return writer.u8(0).u8(0).u8(0).u8(NFNL_SUBSYS_NFTABLES);
}

function writeChange(writer: MessageWriter, { family, table, map, elements }: MapChange): void {
  writer.u8(NFPROTO[family]).u8(0).u8(0).u8(0).attributeString(LIST.table, table).attributeString(LIST.set, map);
  writer.nested(LIST.elements, () => {
    for (const { key, data } of elements) {
      writer.nested(LIST_ELEM, () => {
        writer.nested(ELEM.key, () => writer.attributeU32(DATA.value, key));
        if (data !== undefined) writer.nested(ELEM.data, () => writeData(writer, data));
      });
    }
  });
}

function writeData(writer: MessageWriter, data: number | Verdict): void {
  if (typeof data === "number") {
    writer.attributeU32(DATA.value, data);
    return;
  }
  const [verb, chain] = verdictParts(data);
  const code = new Uint8Array(4);
  new DataView(code.buffer).setUint32(0, VERDICT_CODE[verb]);
  writer.nested(DATA.verdict, () => {
    writer.attribute(VERDICT.code, code);
    if (chain !== undefined) writer.attributeString(VERDICT.chain, chain);
  });
}

function verdictParts(verdict: Verdict): readonly [keyof typeof VERDICT_CODE, string?] {
  if (verdict === "drop" || verdict === "accept") return [verdict];
  return verdict.startsWith("jump ") ? ["jump", verdict.slice(5)] : ["goto", verdict.slice(5)];
}

export function isVerdict(text: string): text is Verdict {
  return /^(drop|accept|(jump|goto) \S+)$/.test(text);
}
