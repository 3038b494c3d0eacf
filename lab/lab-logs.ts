import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { basename, join } from "node:path";
import { LabError } from "./lab-error.ts";
import { labFolder, readLabInfo } from "./lab-folder.ts";

const POLL_MS = 200;
const CHUNK_BYTES = 64 * 1024;

interface Tail {
  readonly path: string;
  readonly label: string;
  inode: number;
  offset: number;
}

/** Prints a node's logs, of a killed lab too; `follow` goes on until the process is ended. */
export async function labLogs(lab: string, node: string, follow: boolean): Promise<void> {
  const folder = labFolder(lab);
  const info = await readLabInfo(folder);
  if (info === undefined) throw new LabError(`no lab named ${lab}`);
  const tails = readdirSync(folder.logs)
    .filter((file) => file.startsWith(`${node}-`) && file.endsWith(".log") && !longerNode(info.nodes, node, file))
    .map(
      (file): Tail => ({
        path: join(folder.logs, file),
        label: basename(file, ".log").slice(node.length + 1),
        inode: 0,
        offset: 0,
      }),
    );
  if (tails.length === 0) throw new LabError(`no logs of ${node}; nodes are ${info.nodes.join(", ")}, cluster`);
  for (const tail of tails) print(tail, tails.length > 1);
  while (follow) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    for (const tail of tails) print(tail, tails.length > 1);
  }
}

/** `gateway` must not show the logs of `gateway-a`. */
function longerNode(nodes: readonly string[], node: string, file: string): boolean {
  return nodes.some((other) => other.length > node.length && file.startsWith(`${other}-`));
}

function print(tail: Tail, labelled: boolean): void {
  const descriptor = openSync(tail.path, "r");
  try {
    const { ino, size } = fstatSync(descriptor);
    // The log was rotated: what follows is a new file.
    if (ino !== tail.inode || size < tail.offset) tail.offset = 0;
    tail.inode = ino;
    const buffer = Buffer.alloc(CHUNK_BYTES);
    for (;;) {
      const read = readSync(descriptor, buffer, 0, CHUNK_BYTES, tail.offset);
      const end = buffer.subarray(0, read).lastIndexOf(0x0a) + 1 || (read === CHUNK_BYTES ? read : 0);
      if (end === 0) return;
      tail.offset += end;
      const text = buffer.toString("utf8", 0, end);
      process.stdout.write(labelled ? text.replace(/^(?=.)/gm, `${tail.label}: `) : text);
    }
  } finally {
    closeSync(descriptor);
  }
}
