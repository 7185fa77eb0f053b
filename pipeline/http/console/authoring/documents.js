// Documents: the server's routes of everything that authors write.

/** @import { Checked, DocumentItem, DocumentShown, Published } from "#api" */

import { ask, get, send } from "../api.js";
import { readExactly } from "./values.js";

/**
 * @typedef {Omit<DocumentShown, "definition"> & { definition: any }} Standing A definition is edited whatever it holds.
 * @typedef {{ reason: string, base: number, yes?: true, from_start?: boolean }} Said
 */

/** @param {string} text */
const part = (text) => encodeURIComponent(text);

/** @param {Response} answer @returns {Promise<any>} */
const exactly = async (answer) => readExactly(await answer.text());

/** All of them, or those of a kind, newest version each.
 * @param {string} [kind] @returns {Promise<DocumentItem[]>} */
export const readDocuments = async (kind) => (await get(`documents${kind ? `?kind=${part(kind)}` : ""}`)).documents;

/** @param {string} kind @param {string} key @param {number} [version] @returns {Promise<Standing>} */
export const readDocument = async (kind, key, version) =>
  exactly(await ask(`documents/${part(kind)}/${part(key)}${version ? `?version=${version}` : ""}`));

/** What would become of it; nothing is published.
 * @param {string} kind @param {object} said @returns {Promise<Checked>} */
export const check = async (kind, said) => exactly(await send("POST", `documents/${part(kind)}/check`, said));

/** @param {string} kind @param {string} key @param {unknown} definition @param {Said} said @returns {Promise<Published>} */
export const publish = async (kind, key, definition, said) =>
  exactly(await send("PUT", `documents/${part(kind)}/${part(key)}`, { definition, ...said }));
