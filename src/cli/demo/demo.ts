import { randomBytes } from "node:crypto";
import { SignJWT } from "jose";
import { createLogger } from "../../lib/logger.js";
import { startReferenceRouter } from "../../router/reference/referenceRouter.js";
import { parseConfig } from "../../server/config.js";
import { start } from "../../server/start.js";
import { type Connection, withConnection } from "../connection.js";
import type { CommandContext } from "../context.js";
import { CommandFailure } from "../failure.js";
import { silenceGrpcLog } from "../lifetime.js";
import { printable } from "../output/output.js";
import { type Arrival, DemoClient } from "./demoClient.js";

const EVENT = "festival";
const CHANNEL = "stage";
const CALL_TIMEOUT_MS = 5_000;

/**
 * Runs a replica in memory, a router and three clients in this process. Plays a scene, prints each step with its measured
 * delay, and stops everything.
 *
 * @throws CommandFailure if a frame does not arrive within 5 s, or a request is granted that must be refused
 */
export async function runDemo(context: CommandContext): Promise<void> {
  const closers: (() => unknown)[] = [];
  try {
    await setTheStage(context, closers);
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

async function setTheStage(context: CommandContext, closers: (() => unknown)[]): Promise<void> {
  const { output } = context;
  await silenceGrpcLog(context.env);
  const anyPort = "127.0.0.1:0";
  const server = await start(parseConfig({ grpcAddress: anyPort, httpAddress: anyPort, logLevel: "silent" }, {}));
  closers.push(() => server.close());
  const jwtSecret = randomBytes(32).toString("hex");
  const router = await startReferenceRouter({
    address: server.grpcAddress,
    listen: anyPort,
    jwtSecret,
    logger: createLogger("router", "silent"),
  });
  closers.push(() => router.close());
  await output.line(
    `Squelch demo: a replica on ${server.grpcAddress}, a router on ${router.wsAddress}, three clients.`,
  );
  await output.line("Each delay is measured from the call or the button press to the frame at the client.\n");

  const connect = async (userId: string, role: string) => {
    const claims = { userId, userName: userId, globalRole: "NONE", eventId: EVENT, role, channelIds: [] };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("12h")
      .sign(new TextEncoder().encode(jwtSecret));
    const client = await DemoClient.connect(`ws://${router.wsAddress}/ws`, token, userId);
    closers.push(() => client.close());
    return client;
  };
  const clients = {
    anna: await connect("anna", "USER"),
    ben: await connect("ben", "USER"),
    dora: await connect("dora", "DISPATCH"),
  };
  await withConnection(context, { address: server.grpcAddress, timeout: CALL_TIMEOUT_MS }, ({ permissions }) =>
    play(context, permissions, clients),
  );
  const lost = Object.values(clients).find((client) => !client.isOpen);
  if (lost !== undefined) throw new CommandFailure(`${lost.name} lost the connection to the router`);
  await output.line("\nNo client had to reconnect.");
}

async function play(
  { output }: CommandContext,
  permissions: Connection["permissions"],
  { anna, ben, dora }: Record<"anna" | "ben" | "dora", DemoClient>,
): Promise<void> {
  const { bold, green } = output.colors;
  const print = (label: string, text: string, delayMs: number) =>
    output.line(`${bold(label.padEnd(11))}${green(`${delayMs.toFixed(1)} ms`.padStart(9))}  ${printable(text)}`);
  const assign = (client: DemoClient, channelIds: string[]) =>
    permissions.setUserChannels({ eventId: EVENT, userId: client.name, channelIds });
  const update = (client: DemoClient, edge: "added" | "removed") =>
    client.next("the permission update", ({ type, data }) => type === "permission-update" && includes(data?.[edge]));
  const announcement = (client: DemoClient, type: string) => client.next(`the ${type}`, (frame) => frame.type === type);
  const sees = (listener: DemoClient, speaker: DemoClient) =>
    listener.next("the speaker", (frame) => frame.data?.currentSpeaker === speaker.name);

  // The first call opens the connection. It is not measured.
  await permissions.getEventActiveSpeakers({ eventId: EVENT });
  for (const client of [anna, ben, dora]) {
    const [delayMs] = await measure(() => assign(client, [CHANNEL]), update(client, "added"));
    await print("grant", `${client.name} gets the channel ${CHANNEL}`, delayMs);
    requireSuccess("joining", await client.request("join-channel", CHANNEL));
  }

  const [speechMs] = await measure(() => press(anna), sees(ben, anna));
  await print("speech", "anna presses the button, ben sees her speak", speechMs);

  const [cutMs, seenMs] = await measure(
    () => permissions.pauseAllSpeakers({ eventId: EVENT, reason: "Emergency: stop talking" }),
    announcement(anna, "ptt-interrupted"),
    announcement(ben, "emergency-broadcast-start"),
  );
  await print("pause", "the event is paused while anna speaks, anna loses the floor", cutMs);
  await print("", "ben sees the pause", seenMs);

  await print("refusal", ...(await refused(anna, "ptt-start", "presses the button")));

  const { pause } = await permissions.getEventActiveSpeakers({ eventId: EVENT });
  const [resumeMs] = await measure(
    () => permissions.resumeSpeakers({ eventId: EVENT, pauseId: pause?.pauseId ?? "" }),
    announcement(anna, "emergency-broadcast-stop"),
  );
  await print("resume", "the pause is lifted, anna sees it", resumeMs);
  const [againMs] = await measure(() => press(anna), sees(ben, anna));
  await print("", "anna presses the button, ben sees her speak", againMs);

  const [revokedMs] = await measure(() => assign(ben, []), update(ben, "removed"));
  await print("revocation", `ben loses ${CHANNEL} and leaves it`, revokedMs);
  await print("", ...(await refused(ben, "join-channel", "joins again")));
}

// Returns the delay from the start of `act` to each of the frames that it causes.
async function measure<T extends Promise<Arrival>[]>(
  act: () => Promise<unknown>,
  ...arrivals: T
): Promise<{ [K in keyof T]: number }> {
  const startedAt = performance.now();
  const [, ...arrived] = await Promise.all([act(), ...arrivals]);
  return arrived.map(({ atMs }) => atMs - startedAt) as { [K in keyof T]: number };
}

async function press(client: DemoClient): Promise<void> {
  requireSuccess("the press", await client.request("ptt-start", CHANNEL));
}

// Sends a request that must be refused. Returns the refusal and its delay.
async function refused(client: DemoClient, type: string, verb: string): Promise<[string, number]> {
  const startedAt = performance.now();
  const { frame, atMs } = await client.request(type, CHANNEL);
  if (frame.error === undefined) throw new CommandFailure(`${client.name} ${verb} and was not refused`);
  return [`${client.name} ${verb}, refused: ${frame.error}`, atMs - startedAt];
}

function requireSuccess(what: string, { frame }: Arrival): void {
  if (frame.error !== undefined) throw new CommandFailure(`${what} was refused: ${frame.error}`);
}

function includes(channelIds: unknown): boolean {
  return Array.isArray(channelIds) && channelIds.includes(CHANNEL);
}
