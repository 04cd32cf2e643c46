// Where the threads start that run commands in guests.
import { load } from "./load.js";

const { runGuestCells } = await load("guest-cell");
export default runGuestCells;
