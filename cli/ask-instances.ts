import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { endpointText } from "#shared/net/endpoint.ts";
import type { Packet } from "#shared/resolve/locate.ts";
import { UnixHttpError, unixRequest } from "../lab/unix-http.ts";

const TIMEOUT_MS = 1000;

const answerSchema = z.object({
  result: z.string(),
  owner: z.string().optional(),
  moved: z.enum(["learning", "settled"]).optional(),
  former: z.string().optional(),
  kept: z.string().optional(),
  tracked: z.string().optional(),
  target: z.string().optional(),
});

/** What one gateway instance does with the packets of a flow now. */
export type InstanceAnswer = z.infer<typeof answerSchema> & { readonly instance: string };

/** Asks the proxies whose run folders these are; those that do not answer are left out. */
export async function askInstances(packet: Packet, folders: readonly string[]): Promise<readonly InstanceAnswer[]> {
  const query = new URLSearchParams({
    protocol: packet.protocol,
    from: endpointText({ address: packet.source, port: packet.sourcePort }),
    to: endpointText({ address: packet.destination, port: packet.destinationPort }),
  });
  const asked = folders.map(async (folder): Promise<InstanceAnswer[]> => {
    const socket = join(folder, "proxy.sock");
    if (!existsSync(socket)) return [];
    try {
      const { status, body } = await unixRequest(socket, "GET", `/flow?${query}`, TIMEOUT_MS);
      const answer = status === 200 ? answerSchema.parse(JSON.parse(body)) : undefined;
      return answer === undefined || answer.result === "not-a-vip" ? [] : [{ instance: basename(folder), ...answer }];
    } catch (error) {
      if (error instanceof UnixHttpError) return [];
      throw error;
    }
  });
  return (await Promise.all(asked)).flat();
}

/** What differs from the lookup table on one instance, in words; nothing when nothing does. */
export function exception({ instance, moved, owner, former, kept, tracked }: InstanceAnswer): [string, string][] {
  if (tracked !== undefined) return [["instance", `${instance}: tracks this connection; it stays with ${tracked}`]];
  if (moved === undefined) return [];
  const lines: [string, string][] = [["instance", `${instance}: the slot changed hands lately`]];
  if (kept !== undefined) lines.push(["", `this flow is known and stays with ${kept}`]);
  else if (former !== undefined)
    lines.push(["", `a flow that exists stays with ${former}; one that begins goes to ${owner}`]);
  else lines.push(["", "this flow is not known: it goes to the slot's owner"]);
  return lines;
}
