import { useEffect, useRef, useState } from "preact/hooks";
import type { SetUserChannelsResponse } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { describeProblem } from "../../api/problem.js";
import type { EventPicture } from "../../model/eventPicture.js";
import { formatCount } from "../../model/format.js";
import { searchIds, sortIds } from "../../model/search.js";
import { useConsole } from "../console.js";
import { useIsLive } from "../statusBar.js";
import { useAppliedWrite } from "../useAppliedWrite.js";
import { KeepOut } from "./keepOut.js";

interface UserEditorProps {
  event: EventPicture;
  userId: string;
  channelIds: readonly string[];
  onClose(): void;
}

/**
 * Edits the channels of one user. The draft has only the differences that the user of the page made. Saving applies them to
 * the channels of that moment, so changes by others in the meantime are kept.
 */
export function UserEditor({ event, userId, channelIds, onClose }: UserEditorProps) {
  const { session } = useConsole();
  const { said, isBusy, run } = useAppliedWrite(event, userId);
  const isLive = useIsLive();
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  const [draft, setDraft] = useState<ReadonlyMap<string, boolean>>(new Map());
  useEffect(() => dialog.current?.showModal(), []);

  const standing = new Set(event.users.get(userId));
  const wanted = (channelId: string) => draft.get(channelId) ?? standing.has(channelId);
  const changed = [...draft].filter(([channelId, isWanted]) => isWanted !== standing.has(channelId));
  const all = sortIds(new Set([...channelIds, ...standing, ...draft.keys()]));
  const entered = text.trim();
  const shown = searchIds(all, text);

  const { revision: shownRevision, problem } = useShownRevision(event, userId);

  const write = (next: string[]) =>
    run(async () => {
      const request = { eventId: event.eventId, userId, channelIds: next };
      const condition = shownRevision === undefined ? {} : { ifRevision: shownRevision };
      let answer: SetUserChannelsResponse;
      try {
        answer = await session.permissions.setUserChannels({ ...request, ...condition });
      } catch (error) {
        if (describeProblem(error).reason !== "REVISION_CHANGED") throw error;
        const { channelIds: present } = await session.permissions.getUserPermissions(request);
        const now = present.length === 0 ? "no channel" : present.join(", ");
        const what = `Nothing was written: another administrator has changed ${userId}, who now has ${now}. Check the list`;
        return { what, revision: undefined };
      }
      const { added, removed, ...written } = answer;
      setDraft(new Map());
      if (written.superseded) return { what: "A newer change came first: nothing was written", revision: undefined };
      const isSame = added.length + removed.length === 0;
      const what = isSame ? "Nothing to change" : `${added.length} gained, ${removed.length} lost`;
      return { what, revision: written.revision, epoch: written.epoch };
    });
  const save = () => {
    const next = new Set(event.users.get(userId));
    for (const [channelId, isWanted] of draft) {
      if (isWanted) next.add(channelId);
      else next.delete(channelId);
    }
    return write([...next]);
  };
  const toggle = (channelId: string, isWanted: boolean) => setDraft(new Map(draft).set(channelId, isWanted));
  const isKnown = shownRevision !== undefined;
  const canSave = isKnown && isLive && !isBusy && changed.length > 0;
  const canRevoke = isKnown && isLive && !isBusy && standing.size > 0;

  return (
    <dialog ref={dialog} class="editor" aria-labelledby="editor-title" onClose={onClose}>
      <header>
        <h2 id="editor-title">{userId}</h2>
        <p class="hint">
          {formatCount(standing.size, "channel")} in {event.eventId}
        </p>
      </header>
      <input
        type="search"
        aria-label="Find a channel to assign"
        placeholder="Find a channel, or enter a new one"
        value={text}
        onInput={(input) => setText(input.currentTarget.value)}
      />
      <ul class="checks">
        {entered !== "" && !all.includes(entered) && (
          <li>
            <button type="button" class="small" onClick={() => toggle(entered, true)}>
              Add the new channel {entered}
            </button>
          </li>
        )}
        {shown.map((channelId) => (
          <li key={channelId} data-changed={wanted(channelId) !== standing.has(channelId)}>
            <label class="check">
              <input
                type="checkbox"
                checked={wanted(channelId)}
                onChange={(input) => toggle(channelId, input.currentTarget.checked)}
              />
              {channelId}
            </label>
          </li>
        ))}
      </ul>
      <p class="said" data-tone={said?.tone} role={said?.tone === "failed" ? "alert" : "status"}>
        {said?.text ?? (isLive ? (problem ?? "") : "This page may be out of date, so saving is not possible")}
      </p>
      <KeepOut event={event} userId={userId} />
      <footer>
        <button type="button" class="primary" aria-disabled={!canSave} onClick={() => canSave && void save()}>
          {changed.length > 0 ? `Save ${formatCount(changed.length, "change")}` : "Save"}
        </button>
        <button
          type="button"
          class="danger"
          aria-disabled={!canRevoke}
          onClick={() => canRevoke && confirm(`Revoke every channel of ${userId}?`) && void write([])}
        >
          Revoke all
        </button>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </footer>
    </dialog>
  );
}

/**
 * Returns the revision of the channels that the page shows for a user, which a write must not overwrite a newer one of. It is
 * undefined until it is known. The stream has it for users who changed while the page is open; for others it is read.
 */
function useShownRevision(event: EventPicture, userId: string): { revision?: bigint; problem?: string } {
  const { session } = useConsole();
  const isLive = useIsLive();
  const [read, setRead] = useState<{ revision: bigint; epoch: string }>();
  const [problem, setProblem] = useState<string>();
  const { eventId, epoch } = event;
  useEffect(() => {
    if (!isLive) return;
    setProblem(undefined);
    let isWanted = true;
    session.permissions.getUserPermissions({ eventId, userId }).then(
      ({ userRevision, cursor }) => isWanted && setRead({ revision: userRevision, epoch: cursor?.epoch ?? "" }),
      (error: unknown) => isWanted && setProblem(describeProblem(error).text),
    );
    return () => {
      isWanted = false;
    };
  }, [session, eventId, userId, epoch, isLive]);
  const streamed = event.userRevisions.get(userId);
  if (streamed !== undefined) return { revision: streamed };
  // A change that the page does not show yet must not count as shown.
  if (read?.epoch === epoch && read.revision <= event.revision) return { revision: read.revision };
  return problem === undefined ? {} : { problem };
}
