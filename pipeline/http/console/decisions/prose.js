// Prose: what people wrote in Markdown. The server makes HTML of it, in which their HTML is text (see markdown.py); it is
// the only HTML that comes into a page.

import { h } from "../dom.js";

/** @param {string} html As the server has rendered it. */
export const prose = (html) => h("div", { class: "written", dangerouslySetInnerHTML: { __html: html } });
