/** A request that no other exchange has: a token, filler, and the end of the line. */
export function requestPayload(token: number, run: string, bytes: number): Buffer {
  const head = `${run}-${token}-`;
  return Buffer.from(`${head.padEnd(Math.max(bytes - 1, head.length), "x")}\n`);
}

export type Answer =
  | { readonly kind: "complete"; readonly target: string }
  | { readonly kind: "partial" }
  | { readonly kind: "wrong" };

/** Looks at the bytes that came back so far: the target's name on a line, then the request. */
export function readAnswer(request: Buffer, received: Buffer): Answer {
  const end = received.indexOf(0x0a);
  if (end < 0) return received.length > 64 ? { kind: "wrong" } : { kind: "partial" };
  const body = received.subarray(end + 1);
  if (body.length < request.length)
    return request.subarray(0, body.length).equals(body) ? { kind: "partial" } : { kind: "wrong" };
  return body.equals(request) ? { kind: "complete", target: received.toString("latin1", 0, end) } : { kind: "wrong" };
}
