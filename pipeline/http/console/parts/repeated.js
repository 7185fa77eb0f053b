// Repeated: what a part of a page reads by itself, again and again while somebody looks.

import { useEffect } from "../dom.js";
import { who } from "../session/may.js";

/** Read now and after every so many ms, one answer after the other, until the part is left or is of something else: `of`
 * says of what, null of nothing. Who is let in no more asks for nothing. `take` is told answers; what is refused comes with
 * the next one, and the page's connection tells of it.
 * @template T @param {string | null} of @param {(of: string) => Promise<T>} read @param {(answer: T) => void} take
 * @param {number} every */
export function useRepeated(of, read, take, every) {
  useEffect(() => {
    if (of === null) return;
    let isLeft = false;
    let isReading = false;
    const again = async () => {
      if (isReading || document.hidden || !who()) return;
      isReading = true;
      try {
        const answer = await read(of);
        if (!isLeft) take(answer);
      } catch {
        // the next one comes
      }
      isReading = false;
    };
    again();
    const reading = setInterval(again, every);
    return () => {
      isLeft = true;
      clearInterval(reading);
    };
  }, [of]);
}
