import { spawn } from "node:child_process";
import { LabError } from "../lab-error.ts";

/** Runs a program to its end with `input` on its standard input. @returns what it printed. @throws LabError when it fails. */
export function runCommand(program: string, args: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
    child.on("error", (cause) => reject(new LabError(`cannot start ${program}: ${cause.message}`, { cause })));
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(output).toString());
      const said = Buffer.concat(errors).toString().trim();
      reject(
        new LabError(
          `\`${[program, ...args].join(" ").slice(0, 200)}\` failed (${signal ?? code}): ${said || "no message"}`,
        ),
      );
    });
    // A program that ends without reading its input has said why on its standard error.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}
