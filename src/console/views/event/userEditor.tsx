import { useEffect, useRef, useState } from "preact/hooks";
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

  const write = (next: string[]) =>
    run(async () => {
      const { added, removed, ...written } = await session.permissions.setUserChannels({
        eventId: event.eventId,
        userId,
        channelIds: next,
      });
      setDraft(new Map());
      if (written.superseded) return { what: "A newer change came first: nothing was written", revision: undefined };
      const isSame = added.length + removed.length === 0;
      const what = isSame ? "Nothing to change" : `${added.length} gained, ${removed.length} lost`;
      return { what, revision: written.revision };
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
  const canSave = isLive && !isBusy && changed.length > 0;
  const canRevoke = isLive && !isBusy && standing.size > 0;

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
        {said?.text ?? (isLive ? "" : "This page may be out of date, so saving is not possible")}
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
