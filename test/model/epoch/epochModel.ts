/**
 * Mistakes in the rules of epochs. Tests switch them on in the model one at a time, and each must be found.
 */
export const FLAWS = {
  "loss of members unnoticed": "a script does not compare how many members there are with how many there were",
  "old members unnoticed": "scripts that change or load members do not look for the newest change in them",
  "added members unnoticed": "a sync does not compare how many members there are with how many were added",
  "log ahead unnoticed": "a script does not begin a new epoch where the log is ahead of its meta",
  "loss of meta continues": "a script that finds no meta continues in the epoch of the log",
  "going back unnoticed": "a replica that is ahead of the store reads the picture again, in the same epoch",
  "left epoch unnoticed": "a replica follows an epoch that it has left",
  "passing unnoticed": "a replica does not compare the time of its newest entry with that in the log",
} as const;

export type Flaw = keyof typeof FLAWS;

export type Step =
  | { do: "write"; user: string; channels: string; times: number }
  /** A script fails between the entry and its meta, because a right was removed. */
  | { do: "writeHalf"; user: string; channels: string }
  | { do: "sync"; user: string; channels: string }
  | { do: "loseMembers" }
  /** Another replica loads the event. */
  | { do: "load" }
  | { do: "loseMeta" }
  | { do: "copy" }
  | { do: "restore" }
  /** Only the members are restored, and a sync follows, as the documentation requires. */
  | { do: "restoreMembers"; user: string; channels: string }
  | { do: "deliver"; feed: number; count: number }
  | { do: "check"; feed: number };

export class LawBroken extends Error {
  override readonly name = "LawBroken";
}

interface Entry {
  epoch: number;
  revision: number;
  user: string;
  channels: string;
  time: number;
}

interface Meta {
  epoch: number;
  revision: number;
  members: number;
  newest: Entry | undefined;
}

interface Keys {
  meta: Meta | undefined;
  members: Map<string, Entry>;
  log: Entry[];
}

const clone = ({ meta, members, log }: Keys): Keys => {
  return { meta: meta && { ...meta }, members: new Map(members), log: [...log] };
};

/** The keys of one event, and its scripts. Each script is one step. */
class StoreModel {
  keys: Keys = { meta: undefined, members: new Map(), log: [] };
  readonly feeds: FeedModel[] = [];
  #copy: Keys | undefined;
  #hasLostMetaSinceCopy = false;
  #epochs = 0;
  #time = 0;

  constructor(readonly flaws: ReadonlySet<Flaw>) {}

  write(user: string, channels: string): void {
    const meta = this.#beginMembers();
    if (this.keys.members.get(user)?.channels === channels) return;
    this.#publish(this.#append(meta, user, channels));
  }

  writeHalf(user: string, channels: string): void {
    const { meta } = this.keys;
    if (meta === undefined || this.#isLogAhead(meta)) return;
    this.keys.log.push({ epoch: meta.epoch, revision: meta.revision + 1, user, channels, time: ++this.#time });
  }

  /** All users except one lose all channels. */
  sync(user: string, channels: string): void {
    let meta = this.#beginWhole();
    const hasMore = this.keys.members.size > meta.members && !this.flaws.has("added members unnoticed");
    if (hasMore) meta = this.#beginEpoch();
    for (const known of new Set([...this.keys.members.keys(), user])) {
      const wanted = known === user ? channels : "";
      if (this.keys.members.get(known)?.channels !== wanted) this.#publish(this.#append(meta, known, wanted));
    }
  }

  load(): Meta & { members: number; picture: Map<string, string>; time: number | undefined } {
    const meta = this.#beginWhole();
    const picture = new Map([...this.keys.members].map(([user, { channels }]) => [user, channels]));
    return { ...meta, picture, time: this.entryAt(meta.revision)?.time };
  }

  renewEpoch(delivered: { epoch: number; revision: number; time?: number | undefined }): void {
    const meta = this.#begin();
    if (meta.epoch !== delivered.epoch) return;
    const { time } = this.entryAt(delivered.revision) ?? {};
    const hasOther = delivered.time !== undefined && time !== undefined && time !== delivered.time;
    if (meta.revision < delivered.revision || hasOther) this.#beginEpoch();
  }

  entryAt(at: number): Entry | undefined {
    return this.keys.log.find(({ revision }) => revision === at);
  }

  copy(): void {
    this.#copy = clone(this.keys);
    this.#hasLostMetaSinceCopy = false;
  }

  loseMeta(): void {
    this.keys.meta = undefined;
    this.#hasLostMetaSinceCopy = true;
  }

  restore(): void {
    if (this.#copy?.meta !== undefined) this.keys = clone(this.#copy);
  }

  restoreMembers(user: string, channels: string): void {
    // This is not promised: an event that has lost its meta cannot distinguish old members from new ones.
    if (this.#copy?.meta === undefined || this.#hasLostMetaSinceCopy) return;
    this.keys.members = new Map(this.#copy.members);
    this.sync(user, channels);
  }

  #isLogAhead({ revision }: Meta): boolean {
    return (this.keys.log.at(-1)?.revision ?? 0) > revision;
  }

  // The first step of every script.
  #begin(): Meta {
    const { meta, members, log } = this.keys;
    if (meta === undefined) {
      const newest = log.at(-1);
      if (newest === undefined || !this.flaws.has("loss of meta continues")) return this.#beginEpoch();
      const { epoch, revision } = newest;
      this.keys.meta = { epoch, revision, members: members.size, newest };
      return this.keys.meta;
    }
    const hasLostMembers = members.size < meta.members && !this.flaws.has("loss of members unnoticed");
    return hasLostMembers ? this.#beginEpoch(true) : meta;
  }

  // The first step of a script that changes members.
  #beginMembers(): Meta {
    const meta = this.#begin();
    const { newest } = meta;
    const written = newest && this.keys.members.get(newest.user);
    const isOld = newest !== undefined && !(written && written.time >= newest.time);
    return isOld && !this.flaws.has("old members unnoticed") ? this.#beginEpoch(true) : meta;
  }

  // The first step of a script that handles the whole event.
  #beginWhole(): Meta {
    const meta = this.#beginMembers();
    return this.#isLogAhead(meta) && !this.flaws.has("log ahead unnoticed") ? this.#beginEpoch() : meta;
  }

  #beginEpoch(losesMembers = false): Meta {
    const { members, meta } = this.keys;
    const newest = losesMembers ? undefined : meta?.newest;
    this.keys.meta = { epoch: ++this.#epochs, revision: 0, members: members.size, newest };
    this.keys.log = [];
    return this.keys.meta;
  }

  #append(found: Meta, user: string, channels: string): Entry {
    let meta = found;
    if (this.#isLogAhead(meta)) {
      if (this.flaws.has("log ahead unnoticed")) throw new LawBroken("no change can be appended any more");
      meta = this.#beginEpoch();
    }
    const entry = { epoch: meta.epoch, revision: ++meta.revision, user, channels, time: ++this.#time };
    this.keys.log.push(entry);
    if (!this.keys.members.has(user)) meta.members++;
    this.keys.members.set(user, entry);
    meta.newest = entry;
    return entry;
  }

  #publish(entry: Entry): void {
    for (const { inbox } of this.feeds) inbox.push(entry);
  }
}

/** A replica that follows the event, with its watchers. */
class FeedModel {
  readonly inbox: Entry[] = [];
  picture = new Map<string, string>();
  readonly #store: StoreModel;
  #epoch = 0;
  #head = 0;
  #headTime: number | undefined;
  #hasSeenReuse = false;
  readonly #left = new Set<number>();
  // The delivered entries: `epoch/revision` → time.
  readonly #delivered = new Map<string, number>();
  #lastEpoch = 0;
  #lastRevision = 0;

  constructor(store: StoreModel) {
    this.#store = store;
    store.feeds.push(this);
    this.#reload();
  }

  deliver(): boolean {
    const entry = this.inbox.shift();
    if (entry === undefined) return false;
    if (entry.epoch === this.#epoch && entry.revision <= this.#head) {
      if (this.#headTime === undefined || entry.time <= this.#headTime) return true;
      this.#hasSeenReuse = true;
      this.check();
    } else if (entry.epoch === this.#epoch && entry.revision === this.#head + 1) this.#append(entry);
    else this.check();
    return true;
  }

  check(): void {
    const meta = this.#provenMeta();
    if (meta?.epoch !== this.#epoch || meta.revision < this.#head || !this.#readUpTo(meta.revision)) this.#reload();
  }

  #provenMeta(): Meta | undefined {
    const { keys, flaws } = this.#store;
    const { meta } = keys;
    const hasSeenReuse = this.#hasSeenReuse;
    this.#hasSeenReuse = false;
    if (meta === undefined) return undefined;
    const isPresent = meta.epoch === this.#epoch;
    const mayHavePassed =
      this.#headTime !== undefined && (meta.revision > this.#head || hasSeenReuse) && !flaws.has("passing unnoticed");
    const isBehind = meta.revision < this.#head && !flaws.has("going back unnoticed");
    if (this.#left.has(meta.epoch) && !flaws.has("left epoch unnoticed")) {
      this.#store.renewEpoch({ epoch: meta.epoch, revision: Number.MAX_SAFE_INTEGER });
    } else if (isPresent && (isBehind || mayHavePassed)) {
      this.#store.renewEpoch({ epoch: this.#epoch, revision: this.#head, time: this.#headTime });
    }
    return this.#store.keys.meta;
  }

  #readUpTo(revision: number): boolean {
    while (this.#head < revision) {
      const entry = this.#store.entryAt(this.#head + 1);
      if (entry?.epoch !== this.#epoch) return false;
      this.#append(entry);
    }
    return true;
  }

  #reload(): void {
    const { epoch, revision, picture, time } = this.#store.load();
    if (epoch !== this.#epoch) this.#left.add(this.#epoch);
    this.#epoch = epoch;
    this.#head = revision;
    this.#headTime = time;
    this.picture = picture;
    this.#witness(revision, time);
  }

  #append(entry: Entry): void {
    this.#head = entry.revision;
    this.#headTime = entry.time;
    this.picture.set(entry.user, entry.channels);
    this.#witness(entry.revision, entry.time);
  }

  // No revision goes back within an epoch, and none is used twice.
  #witness(revision: number, time: number | undefined): void {
    if (this.#lastEpoch === this.#epoch && revision < this.#lastRevision) {
      throw new LawBroken(`revision ${revision} after ${this.#lastRevision} in epoch ${this.#epoch}`);
    }
    this.#lastEpoch = this.#epoch;
    this.#lastRevision = revision;
    const key = `${this.#epoch}/${revision}`;
    const before = this.#delivered.get(key);
    if (before !== undefined && time !== undefined && before !== time) {
      throw new LawBroken(`revision ${revision} of epoch ${this.#epoch} was used twice`);
    }
    if (time !== undefined) this.#delivered.set(key, time);
  }
}

/**
 * Runs a schedule to its end and lets everything come to rest: a replica loads the event, the others compare.
 *
 * @throws LawBroken
 */
export function runSchedule(steps: readonly Step[], flaw?: Flaw): void {
  const store = new StoreModel(new Set(flaw === undefined ? [] : [flaw]));
  const feeds = [new FeedModel(store), new FeedModel(store)] as const;
  for (const step of steps) run(store, feeds, step);
  new FeedModel(store);
  for (const feed of store.feeds) {
    feed.check();
    while (feed.deliver());
  }
  for (const feed of store.feeds) feed.check();
  const stored = textOf([...store.keys.members].map(([user, { channels }]) => [user, channels]));
  for (const { picture } of store.feeds) {
    if (textOf([...picture]) !== stored)
      throw new LawBroken(`the store has ${stored}, a watcher ${textOf([...picture])}`);
  }
}

const textOf = (picture: string[][]) =>
  picture
    .map(([user, channels]) => `${user}=${channels}`)
    .sort()
    .join();

function run(store: StoreModel, feeds: readonly [FeedModel, FeedModel], step: Step): void {
  switch (step.do) {
    case "write":
      for (let time = 0; time < step.times; time++)
        store.write(step.user, time === 0 ? step.channels : `${step.channels}${time}`);
      break;
    case "writeHalf":
      store.writeHalf(step.user, step.channels);
      break;
    case "sync":
      store.sync(step.user, step.channels);
      break;
    case "load":
      store.load();
      break;
    case "loseMembers":
      store.keys.members.clear();
      break;
    case "loseMeta":
      store.loseMeta();
      break;
    case "copy":
      store.copy();
      break;
    case "restore":
      store.restore();
      break;
    case "restoreMembers":
      store.restoreMembers(step.user, step.channels);
      break;
    case "deliver":
      for (let count = 0; count < step.count && feeds[step.feed as 0 | 1].deliver(); count++);
      break;
    case "check":
      feeds[step.feed as 0 | 1].check();
  }
}
