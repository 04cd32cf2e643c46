// Where the threads start that run cells.
import { load } from "./load.js";

const { runCell } = await load("cell");
export default runCell;
