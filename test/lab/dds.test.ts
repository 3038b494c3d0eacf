import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { finished, LabCommand } from "./bare-lab.ts";

/*
 * The lab of DDS participants, as its README has it: Cyclone DDS's own ddsperf in two subnets.
 */

const CAUSEWAY = fileURLToPath(new URL("../../bin/causeway", import.meta.url));
const command = new LabCommand();
afterAll(() => command.remove());

/** The relay as the only peer. */
const ONLY_PEER =
  "<CycloneDDS><Domain><General><AllowMulticast>false</AllowMulticast></General><Discovery><ParticipantIndex>auto" +
  '</ParticipantIndex><Peers><Peer address="10.71.1.200:7400"/></Peers></Discovery></Domain></CycloneDDS>';

it("ddsperf in two subnets: by multicast, by the relay as only peer, and not without a relay", async () => {
  const script = `
    meet() {
      echo "== $1"
      $CW lab exec robot-a1 -- env "CYCLONEDDS_URI=$2" timeout 3 ddsperf sub & sub=$!
      $CW lab exec robot-b1 -- env "CYCLONEDDS_URI=$2" timeout 3 ddsperf pub 100Hz size 1k > /dev/null || :
      wait $sub || :
    }
    meet multicast ""
    meet peer '${ONLY_PEER}'
    $CW lab stop relay
    meet nobody ""
  `;
  const child = spawn(CAUSEWAY, ["lab", "run", "--topology", "dds", "--", "sh", "-c", script], {
    env: { ...command.env, CW: CAUSEWAY },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { stdout, stderr } = await finished(child);
  const [, multicast = "", peer = "", nobody] = stdout.split(/^== .*$/m);
  expect(multicast, stderr).toMatch(/size 1024 total [1-9]/);
  expect(peer, stderr).toMatch(/size 1024 total [1-9]/);
  expect(nobody).not.toMatch(/size 1024 total [1-9]/);
});
