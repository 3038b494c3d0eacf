import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TopicSettings } from "../adapter/topic-adapter.ts";
import { topicSettings } from "../adapter/topic-settings.fixture.ts";
import { readXml, type XmlError } from "../types/read-xml.ts";
import { depthOf, misfit } from "./connext-adapter.ts";
import { connextDocument } from "./connext-document.ts";
import { reasonOf } from "./connext-library.ts";

const settings = (more: Readonly<Record<string, unknown>> = {}): TopicSettings =>
  topicSettings(more, { topicTypes: ["plant::Reading"], xml: "<types/>" });
const textOf = (more: Readonly<Record<string, unknown>> = {}): string => connextDocument(settings(more), 1).text;

describe("the document for Connext", () => {
  it("has a reader, a writer or both", () => {
    const has = (direction: string) =>
      ["<data_reader ", "<data_writer "].map((part) => textOf({ direction }).includes(part));
    expect(has("Subscribe")).toEqual([true, false]);
    expect(has("Publish")).toEqual([false, true]);
    expect(has("Both")).toEqual([true, true]);
  });

  it("says what the Topic says", () => {
    const text = textOf({
      domain: 2,
      domainTag: "line-1",
      direction: "Both",
      interfaces: ["net1", "net2"],
      peers: ["10.71.1.1"],
      qos: {
        reliability: "BestEffort",
        durability: "TransientLocal",
        historyDepth: 3,
        ownership: "Exclusive",
        partitions: ["north", "a<b"],
      },
    });
    for (const part of [
      'domain_id="2"',
      "<name>dds.domain_participant.domain_tag</name><value>line-1</value>",
      "allow_interfaces_list</name><value>net1,net2</value>",
      "<initial_peers><element>rtps@udpv4://10.71.1.1:7900</element></initial_peers>",
      "<kind>BEST_EFFORT_RELIABILITY_QOS</kind>",
      "<kind>TRANSIENT_LOCAL_DURABILITY_QOS</kind>",
      "<kind>KEEP_LAST_HISTORY_QOS</kind><depth>3</depth>",
      "<kind>EXCLUSIVE_OWNERSHIP_QOS</kind>",
      "<partition><name><element>north</element><element>a&lt;b</element></name></partition>",
    ]) {
      expect(text).toContain(part);
    }
    expect(textOf()).toContain("<element>builtin.udpv4://239.255.0.1</element>");
    expect(textOf()).toContain("<kind>KEEP_ALL_HISTORY_QOS</kind>");
  });

  it("nothing that a Topic says gets out of its place", () => {
    const hostile = fc.string({
      unit: fc.constantFrom("<", ">", '"', "'", "&", "a", "/", "]", "-"),
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(hostile, hostile, (topic, name) => {
        const text = textOf({ topic, domainTag: name, qos: { partitions: [name] } });
        // Texts between elements are what it is made of here, and what the reader of types does not take.
        const elements = text.replaceAll(/>[^<]+</g, "><");
        const shape = (value: string): readonly string[] =>
          [...value.matchAll(/<\/?(\w+)/g)].map(([, tag = ""]) => tag);
        expect((): XmlError | object => readXml(elements)).not.toThrow();
        expect(shape(text)).toEqual(shape(textOf({ domainTag: "x", qos: { partitions: ["x"] } })));
      }),
    );
  });
});

it("depth is counted outside texts only", () => {
  expect(depthOf('{"a":[1,{"b":"[[[{{\\"[["}],"c":{}}')).toBe(3);
  fc.assert(
    fc.property(fc.json(), (json) => {
      const depth = (value: unknown): number =>
        typeof value === "object" && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0;
      expect(depthOf(json)).toBe(depth(JSON.parse(json)));
    }),
  );
});

it("what Connext says is said in fewer words", () => {
  const unknown =
    '\n ERROR DDS_DynamicData2StructPlugin_getMemberInfo: Cannot find a member (name = "nope", id = 0) in type plant::Reading\n';
  expect(misfit(unknown, "plant::Reading")).toBe('plant::Reading has no member "nope"');
  expect(misfit("\n ERROR DDS_DynamicDataParser_parse_json_node:!parse json node octets\n", "T")).toBe(
    'member "octets" does not fit T',
  );
  expect(misfit("", "T")).toBe("it does not fit T");
  const refused =
    "\n ERROR [SET QOS] RTIXMLParser_parseFromFile_ex:Parse error in file '/run/x.xml'\n" +
    "  ERROR [SET QOS] RTIXMLParser_validateOnStartTag:Parse error at line 2: Unexpected attribute 'kay'\n";
  expect(reasonOf(refused)).toBe("Parse error at line 2: Unexpected attribute 'kay'");
  expect(reasonOf("")).toBe("it does not say why");
});
