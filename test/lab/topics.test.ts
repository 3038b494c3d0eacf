import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { HAS_CONNEXT } from "../discovery/support/vendors.ts";
import { finished, LabCommand } from "./bare-lab.ts";

/*
 * The lab of topics, as its README has it: from a robot of Cyclone DDS to a TCP client beyond a router, and from client
 * to client through both pods.
 */

const CAUSEWAY = fileURLToPath(new URL("../../bin/causeway", import.meta.url));
const WITHOUT = HAS_CONNEXT ? "" : " (skipped: CONNEXT_FOLDER names no folder with rticonnextdds-connector)";
const command = new LabCommand();
afterAll(() => command.remove());

/** A TCP client, as nc, until it has been sent three lines: PORT */
const READER = `
  let text = "";
  const socket = require("node:net").connect(process.argv[1], process.env.LAB_VIP4);
  socket.on("data", (chunk) => {
    text += chunk;
    if (text.split("\\n").length > 3) process.exit(0);
  });
  process.on("exit", () => process.stdout.write(text));
  setTimeout(() => process.exit(1), 30_000);
`;

/** So many clients that both pods have some: each writes its name again and again, until everybody has read everybody's. */
const WRITERS = `
  const names = Array.from({ length: 16 }, (_, index) => "client-" + index);
  const missing = names.map(() => new Set(names));
  names.forEach((from, index) => {
    const socket = require("node:net").connect(process.argv[1], process.env.LAB_VIP4);
    let rest = "";
    socket.on("data", (chunk) => {
      const parts = (rest + chunk).split("\\n");
      rest = parts.pop();
      for (const part of parts) missing[index].delete(JSON.parse(part).from);
      if (missing.every((set) => set.size === 0)) { console.log("everybody has read everybody"); process.exit(0); }
    });
    setInterval(() => socket.write(JSON.stringify({ from, text: "x" }) + "\\n"), 200);
  });
  setTimeout(() => { console.log(missing.map((set) => [...set].join()).join(";")); process.exit(1); }, 60_000);
`;

describe.skipIf(!HAS_CONNEXT)(`the lab of topics${WITHOUT}`, () => {
  it("a client beyond the router reads the robot's samples, and clients of both pods write to each other", async () => {
    const script = `
      client() { $CW lab exec client -- env "LAB_VIP4=$LAB_VIP4" "$NODE" -e "$@"; }
      echo "== load"
      client "$READER" 7500
      echo "== notes"
      client "$WRITERS" 7501
    `;
    const child = spawn(CAUSEWAY, ["lab", "run", "--topology", "topics", "--", "sh", "-c", script], {
      env: { ...command.env, CW: CAUSEWAY, NODE: process.execPath, READER, WRITERS },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { stdout, stderr } = await finished(child);
    const [, load = "", notes = ""] = stdout.split(/^== .*$/m);
    expect(load, stderr).toMatch(/^\{"seq":\d+,"keyval":0,"baggage":\[[0-9,]+\]\}$/m);
    expect(notes.trim(), stderr).toBe("everybody has read everybody");
  });
});
