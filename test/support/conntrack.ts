/**
 * Connections that the kernel tracks in a network namespace.
 * @param sh runs shell code in it and gives its standard output.
 * @throws Error when the kernel does not tell: nothing to read is not nothing there.
 */
export async function conntrackEntries(sh: (script: string) => string | Promise<string>): Promise<number> {
  const text = await sh("cat /proc/sys/net/netfilter/nf_conntrack_count");
  if (!/^[0-9]+\n$/.test(text)) throw new Error(`the kernel does not tell how many connections it tracks: ${text}`);
  return Number(text);
}
