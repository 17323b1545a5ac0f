import { useId } from "preact/hooks";
import type { EventPicture } from "../../model/eventPicture.js";

/** The number of users that are proposed. */
const MAX_PROPOSALS = 12;

interface UserFieldProps {
  label: string;
  placeholder: string;
  event: EventPicture;
  value: string;
  onValue(value: string): void;
}

/** A field for a user id. It proposes users of the event, but accepts any id. */
export function UserField({ label, placeholder, event, value, onValue }: UserFieldProps) {
  const listId = useId();
  return (
    <label>
      {label}
      <input
        name={label.toLowerCase()}
        list={listId}
        placeholder={placeholder}
        autocomplete="off"
        spellcheck={false}
        value={value}
        onInput={(input) => onValue(input.currentTarget.value)}
      />
      <datalist id={listId}>
        {proposals(event.users.keys(), value).map((userId) => (
          <option key={userId} value={userId} />
        ))}
      </datalist>
    </label>
  );
}

function proposals(userIds: Iterable<string>, text: string): string[] {
  const wanted = text.trim().toLowerCase();
  const found: string[] = [];
  if (wanted === "") return found;
  for (const userId of userIds) {
    if (!userId.toLowerCase().includes(wanted)) continue;
    if (found.push(userId) === MAX_PROPOSALS) break;
  }
  return found;
}
