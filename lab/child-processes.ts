import { readdirSync, readFileSync } from "node:fs";

/** Pids of a process's children, as this process numbers them. */
export function childProcesses(pid: number): number[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^[0-9]+$/.test(entry)) return [];
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "latin1");
      // The command's name is in parentheses and may hold anything; the parent is the second field after it.
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid ? [Number(entry)] : [];
    } catch {
      // It ended while we looked.
      return [];
    }
  });
}
