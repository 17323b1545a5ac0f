import { comparePositions } from "../../../src/domain/cursor.js";
import { channelsIn, type Judgement, newestOf, type Write } from "./history.js";
import type { IngestModel } from "./ingestModel.js";
import type { Verdict } from "./reconcileModel.js";
import { EARLY_COUNT } from "./replicaModel.js";
import type { Shortfall, World } from "./worlds.js";

/** A law of the model was broken. */
export class LawBroken extends Error {
  override readonly name = "LawBroken";
}

const textOf = (channelIds: readonly string[] | undefined) => [...(channelIds ?? [])].sort().join();

/**
 * Checks the promise of the watermark: everything published before it has been applied, or a later reconcile has
 * finished. This concerns the replicas that rely on it: those whose unbroken subscription began at or below it.
 */
export function checkWatermark({ redis, replicas }: IngestModel): void {
  const { history, stream, watermark } = redis;
  if (watermark === undefined) return;
  const isTrusted = replicas.some(
    ({ began, connection }) => began !== undefined && began <= watermark.generation && connection?.end === undefined,
  );
  if (!isTrusted) return;
  const end = stream.findLastIndex(
    (message) => message.kind === "ticket" && message.generation === watermark.generation,
  );
  const executed = new Set(history.executed.filter(({ kind }) => kind === "published").map(({ order }) => order));
  const reconciled = Math.max(-1, ...history.reconciled);
  for (let order = reconciled + 1; order < end; order++) {
    const message = stream[order];
    if (message?.kind !== "update" || executed.has(order)) continue;
    if ([...history.lost].some((write) => write.order === order)) continue;
    throw new LawBroken(`the watermark ${watermark.generation} is past message ${order}, which nobody has applied`);
  }
}

/**
 * Checks the laws of a fleet at rest. Returns the users who have an older write because the keys could not repair it.
 *
 * @throws LawBroken
 */
export function checkAtRest(model: IngestModel, world: World): Shortfall[] {
  checkLog(model);
  const shortfalls: Shortfall[] = [];
  for (const eventId of world.events) {
    for (const userId of world.users) {
      checkExecuted(model, eventId, userId);
      const shortfall = checkNewest(model, world, eventId, userId);
      if (shortfall !== undefined) shortfalls.push(shortfall);
    }
  }
  checkJudgements(model);
  checkRepeats(model);
  checkPositions(model);
  return shortfalls;
}

function channelsNow({ redis }: IngestModel, eventId: string, userId: string): readonly string[] | undefined {
  return redis.store.event(eventId).members.get(userId)?.channelIds;
}

// The newest of all executed writes remains, in any order, however often they ran and whichever replica ran them.
function checkExecuted(model: IngestModel, eventId: string, userId: string): void {
  const newest = newestOf(model.redis.history.executed, eventId, userId);
  const expected = newest && channelsIn(newest, userId);
  const actual = channelsNow(model, eventId, userId);
  if (textOf(actual) === textOf(expected)) return;
  throw new LawBroken(
    `${userId} in ${eventId} has [${textOf(actual)}], but the newest write that was carried out, ${nameOf(newest)}, says ` +
      `[${textOf(expected)}]`,
  );
}

// The newest write that Redis keeps remains, whether or not a replica received it.
function checkNewest(model: IngestModel, world: World, eventId: string, userId: string): Shortfall | undefined {
  const { history } = model.redis;
  const newest = newestOf(
    history.writes.filter(({ kind }) => kind !== "seed"),
    eventId,
    userId,
  );
  if (newest === undefined || history.lost.has(newest) || history.unreliable.has(userId)) return undefined;
  const actual = textOf(channelsNow(model, eventId, userId));
  const expected = textOf(channelsIn(newest, userId));
  if (actual === expected) return undefined;
  const deviation = `${userId} in ${eventId} has [${actual}], but the newest write, ${nameOf(newest)}, says [${expected}]`;

  const judgements = history.judgements.filter(({ userId: of, order }) => of === userId && order > newest.order);
  const standing = judgements.filter(({ losses }) => losses === history.losses).toSorted((a, b) => a.order - b.order);
  const verdict = standing.at(-1)?.verdict;
  const isMisled = judgements.some((judgement) => isMisledByAbsence(model, judgement));
  const wasExecuted = history.executed.some(({ kind, order }) => kind === "published" && order === newest.order);
  if (newest.kind !== "published" || (wasExecuted && !isMisled)) throw new LawBroken(deviation);

  if (isMisled) return "several events";
  const shortfall = shortfallOf(verdict, eventId);
  if (shortfall === undefined || !world.shortfalls.includes(shortfall)) {
    throw new LawBroken(`${deviation} (the reconcile after it: ${shortfall ?? "none"})`);
  }
  return shortfall;
}

// An absent key shows that an event was emptied, but not which one: it may be one in which the user was unknown.
function isMisledByAbsence({ redis }: IngestModel, { madeAt, userId, knownIn, verdict }: Judgement): boolean {
  if (verdict.kind !== "write" || verdict.channelIds.length > 0) return false;
  return redis.history.writes.some(
    ({ kind, order, eventId, channelsOf }) =>
      kind === "published" && order < madeAt && channelsOf.has(userId) && !knownIn.includes(eventId),
  );
}

function shortfallOf(verdict: Verdict | undefined, eventId: string): Shortfall | undefined {
  // No replica compared the user, because there was neither a key nor an entry.
  if (verdict === undefined) return "key never seen";
  if (verdict.kind === "kept") return verdict.reason;
  return verdict.eventId === eventId ? undefined : "another event";
}

// A reconcile writes only complete lists that the control plane once wrote.
function checkJudgements(model: IngestModel): void {
  const { redis, assigned } = model;
  for (const judgement of redis.history.judgements) {
    const { userId, verdict, changes } = judgement;
    if (!changes || verdict.kind !== "write" || redis.history.unreliable.has(userId)) continue;
    if (isMisledByAbsence(model, judgement)) continue;
    if (assigned.get(`${verdict.eventId}/${userId}`)?.has(verdict.channelIds.join())) continue;
    throw new LawBroken(
      `a reconcile gave ${userId} [${verdict.channelIds}] in ${verdict.eventId}, which nobody ever did`,
    );
  }
}

// Revisions are contiguous from 1. Each is a real difference to the one before, and together they result in the
// state.
function checkLog({ redis }: IngestModel): void {
  for (const [eventId, { log, members, revision }] of redis.store.events) {
    const pictures = new Map<string, readonly string[]>();
    log.forEach((entry, index) => {
      const { userId, channelIds, added, removed } = entry;
      if (entry.revision !== index + 1)
        throw new LawBroken(`revision ${entry.revision} of ${eventId} follows ${index}`);
      const kept = channelIds.filter((channelId) => !added.includes(channelId));
      const before = pictures.get(userId) ?? [...kept, ...removed];
      const isReal = added.length + removed.length > 0 && kept.length + added.length === channelIds.length;
      if (!isReal || textOf(before) !== textOf([...kept, ...removed])) {
        throw new LawBroken(`revision ${entry.revision} of ${eventId} is not the difference to the one before`);
      }
      pictures.set(userId, channelIds);
    });
    if (revision !== log.length) throw new LawBroken(`${eventId} is at ${revision} with ${log.length} entries`);
    for (const [userId, picture] of pictures) {
      if (textOf(picture) === textOf(members.get(userId)?.channelIds)) continue;
      throw new LawBroken(`the log of ${eventId} does not lead to what ${userId} has`);
    }
  }
}

// Applies everything once more, the newest first: nothing changes.
function checkRepeats({ redis }: IngestModel): void {
  const { history, store } = redis;
  for (const { kind, eventId, channelsOf, position } of history.executed.toReversed()) {
    if (kind !== "published") continue;
    for (const [userId, channelIds] of channelsOf) {
      const { status } = store.apply(eventId, { userId, channelIds, writer: "controlPlane" }, position);
      if (status !== "stale") throw new LawBroken(`a repeat of what ${userId} got in ${eventId} was ${status}`);
    }
  }
}

// Positions follow the order in which Redis published: those of all updates that replicas counted since a ticket, and
// those of one user's updates in an event, however the replicas placed them. All replicas that place an update in one of
// the two ways give it the same position.
function checkPositions({ redis }: IngestModel): void {
  const published = redis.history.executed.filter(({ kind }) => kind === "published");
  const ordered = published.toSorted((a, b) => a.order - b.order || comparePositions(a.position, b.position));
  checkAscending(ordered.filter((write) => !isEarly(write)));
  const ofUsers = new Map<string, Write[]>();
  for (const write of ordered) {
    const key = `${write.eventId} ${[...write.channelsOf.keys()]}`;
    ofUsers.set(key, [...(ofUsers.get(key) ?? []), write]);
  }
  for (const writes of ofUsers.values()) checkAscending(writes);
}

function isEarly({ position }: Write): boolean {
  return position.count === EARLY_COUNT;
}

function checkAscending(ordered: readonly Write[]): void {
  ordered.forEach((write, index) => {
    const before = ordered[index - 1];
    if (before === undefined) return;
    const difference = comparePositions(write.position, before.position);
    const isSame = before.order === write.order && isEarly(before) === isEarly(write);
    if (isSame ? difference === 0 : difference > 0) return;
    throw new LawBroken(`message ${write.order} has a position that does not follow that of message ${before.order}`);
  });
}

function nameOf(write: Write | undefined): string {
  return write === undefined ? "of which there is none" : `${write.kind} at message ${write.order}`;
}
