import { SquelchError } from "../domain/errors.js";
import { MemberList } from "../domain/memberSync.js";
import type { UserChannels } from "../domain/ports/membershipStore.js";
import { CommandFailure } from "./failure.js";

/** The format of a file with users and their channels. {@link MEMBER_FILE_HELP} documents it. */
export type MemberFormat = "ndjson" | "csv";

/** The longest line, in UTF-16 code units. */
const MAX_LINE_LENGTH = 4 << 20;
const HEADING = /^user(_?id)?,channel(_?id)?s?$/i;

export const MEMBER_FILE_HELP = `
The file is UTF-8 and has one line for each user, with all channels that the user will have. Empty lines are ignored.
  ndjson   {"userId":"anna","channelIds":["stage","gate"]}
  csv      anna,stage;gate
           A value in double quotes may contain commas, and "" for a quote. The first line may be the heading user,channels.
           Spaces around a value are removed. Use ndjson for an id with ; or with spaces around it.`;

const EXPECTED: Record<MemberFormat, string> = {
  ndjson: 'write {"userId":"anna","channelIds":["stage"]}',
  csv: "write anna,stage;gate",
};

/**
 * Reads all users of a file.
 *
 * @param name the name of the file in error messages
 * @throws CommandFailure that names the line if a line is wrong or the file has too many users
 */
export async function readMemberFile(
  source: AsyncIterable<Uint8Array>,
  format: MemberFormat,
  name: string,
): Promise<UserChannels[]> {
  const members = new MemberList();
  let number = 0;
  for await (const line of readLines(source, name)) {
    number++;
    if (line.trim() === "" || (format === "csv" && number === 1 && HEADING.test(line.trim()))) continue;
    const at = `${name} line ${number}: `;
    try {
      members.add(at, format === "csv" ? parseCsv(line) : parseJson(line));
    } catch (error) {
      throw explain(error, at, format);
    }
  }
  return members.users;
}

// A problem of one line. The caller adds the line number.
class LineProblem extends Error {}

function explain(error: unknown, at: string, format: MemberFormat): unknown {
  if (error instanceof LineProblem) {
    return new CommandFailure(`${at}${error.message}; ${EXPECTED[format]}; nothing was changed`);
  }
  if (!(error instanceof SquelchError)) return error;
  if (error.code === "resourceExhausted") return new CommandFailure(`${at}${error.message}; nothing was changed`);
  return new CommandFailure(`${error.message}; correct that line, nothing was changed`);
}

async function* readLines(source: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (chunk?: Uint8Array) => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (error) {
      throw new CommandFailure(`${name} is not UTF-8; convert it, nothing was changed`, 1, { cause: error });
    }
  };
  let rest = "";
  for await (const chunk of source) {
    const lines = (rest + decode(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
    if (rest.length > MAX_LINE_LENGTH) {
      throw new CommandFailure(`${name} has a line of more than 4 MiB; is it the right file? nothing was changed`);
    }
  }
  rest += decode();
  if (rest !== "") yield rest;
}

function parseJson(line: string): UserChannels {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new LineProblem("is not valid JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new LineProblem("is not a JSON object");
  const { userId, channelIds } = value as Partial<Record<keyof UserChannels, unknown>>;
  if (typeof userId !== "string") throw new LineProblem("has no userId, or it is not a string");
  if (!Array.isArray(channelIds) || !channelIds.every((id) => typeof id === "string")) {
    throw new LineProblem("has no channelIds, or they are not a list of strings");
  }
  return { userId, channelIds };
}

// Matches one value: in quotes, or up to the next comma.
const CSV_VALUE = /(?:\s*"((?:[^"]|"")*)"\s*|([^",]*))(,|$)/y;

function parseCsv(line: string): UserChannels {
  const values: string[] = [];
  CSV_VALUE.lastIndex = 0;
  for (let comma = ","; comma === ","; ) {
    const match = CSV_VALUE.exec(line);
    if (match === null) throw new LineProblem("has quotes that do not match");
    values.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? "").trim());
    comma = match[3] ?? "";
  }
  const [userId = "", channels] = values;
  if (channels === undefined) throw new LineProblem("has no comma after the user");
  if (values.length > 2) throw new LineProblem(`has ${values.length} values, separated by commas`);
  return { userId, channelIds: channels === "" ? [] : channels.split(";").map((id) => id.trim()) };
}
