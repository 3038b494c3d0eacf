import type { LabStatus, ProcessStatus } from "./lab-status.ts";

/** `lab status` as text. Pure. */
export function renderStatus(status: LabStatus): string {
  const lines = [
    `lab ${status.name}, topology ${status.topology}${status.description === "" ? "" : `: ${status.description}`}`,
    `manifests  ${status.manifests}`,
    `topology   ${status.topologyFile}`,
    `state      ${status.converged ? "converged" : `waiting for ${status.waitingFor.length}:`}`,
    ...status.waitingFor.slice(0, 10).map((item) => `           - ${item}`),
    "",
  ];
  const rows = status.nodes.flatMap((node) => {
    const addresses = node.addresses.map((address) => {
      return `${address.interface} ${[address.ipv4, address.ipv6].filter((text) => text !== undefined).join(" ")}`;
    });
    const processes = node.processes.map(processText);
    return Array.from({ length: Math.max(1, addresses.length, processes.length) }, (_, index) => [
      index === 0 ? node.name : "",
      index === 0 ? `${node.role}${node.stopped ? " (stopped)" : node.draining ? " (draining)" : ""}` : "",
      addresses[index] ?? "",
      processes[index] ?? "",
    ]);
  });
  lines.push(...table([["NODE", "ROLE", "ADDRESSES", "PROCESSES"], ...rows]));
  if (status.sessions.length > 0) {
    lines.push(
      "",
      ...table([
        ["SESSION", "PEER", "ADDRESS", "STATE"],
        ...status.sessions.map(({ node, peer, address, state }) => [node, peer, address, state]),
      ]),
    );
  }
  if (status.vips.length > 0) {
    lines.push(
      "",
      ...table([
        ["VIP", "GATEWAY", "VIA"],
        ...status.vips.map(({ address, gateway, nextHops }) => [address, gateway, nextHops.join(", ") || "-"]),
      ]),
    );
  }
  return lines.join("\n");
}

function processText({ name, pid, state, ready, restarts, rssBytes }: ProcessStatus): string {
  if (state === "stopped") return `${name}: stopped`;
  const memory = rssBytes === undefined ? "" : `, ${Math.round(rssBytes / 1048576)} MB`;
  const again = restarts === 0 ? "" : `, ${restarts} restart${restarts === 1 ? "" : "s"}`;
  return `${name}: ${ready ? "ready" : state === "running" ? "not ready" : "waiting to restart"}${pid === undefined ? "" : `, pid ${pid}`}${memory}${again}`;
}

/** Columns padded to their widest cell, two blanks apart. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
