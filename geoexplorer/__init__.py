"""Look at the geometry of an image classifier in its input space."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoexplorer.classifier import Classifier as Classifier
    from geoexplorer.geometry.boundary import BoundaryPoints as BoundaryPoints
    from geoexplorer.geometry.boundary import nearest_boundary as nearest_boundary
    from geoexplorer.geometry.boundary import nearest_boundary_steps as nearest_boundary_steps
    from geoexplorer.geometry.certificates import prove_segment as prove_segment
    from geoexplorer.geometry.certificates import prove_segment_steps as prove_segment_steps
    from geoexplorer.geometry.connectivity import Connectivity as Connectivity
    from geoexplorer.geometry.connectivity import connectivity as connectivity
    from geoexplorer.geometry.connectivity import connectivity_steps as connectivity_steps
    from geoexplorer.geometry.convex_combinations import ConvexCombinations as ConvexCombinations
    from geoexplorer.geometry.convex_combinations import convex_combinations as convex_combinations
    from geoexplorer.geometry.convex_combinations import (
        convex_combinations_steps as convex_combinations_steps,
    )
    from geoexplorer.geometry.curvature import PrincipalCurvatures as PrincipalCurvatures
    from geoexplorer.geometry.curvature import principal_curvatures as principal_curvatures
    from geoexplorer.geometry.curvature import (
        principal_curvatures_steps as principal_curvatures_steps,
    )
    from geoexplorer.geometry.curvature_by_step import CurvatureByStep as CurvatureByStep
    from geoexplorer.geometry.curvature_by_step import curvature_by_step as curvature_by_step
    from geoexplorer.geometry.curvature_by_step import (
        curvature_by_step_steps as curvature_by_step_steps,
    )
    from geoexplorer.geometry.detection import Detection as Detection
    from geoexplorer.geometry.detection import detect as detect
    from geoexplorer.geometry.detection import detect_steps as detect_steps
    from geoexplorer.geometry.detection_along import DetectionAlong as DetectionAlong
    from geoexplorer.geometry.detection_along import detect_along as detect_along
    from geoexplorer.geometry.detection_along import detect_along_steps as detect_along_steps
    from geoexplorer.geometry.detection_roc import DetectionROC as DetectionROC
    from geoexplorer.geometry.detection_roc import detection_roc as detection_roc
    from geoexplorer.geometry.detection_roc import detection_roc_steps as detection_roc_steps
    from geoexplorer.geometry.linear_subspace import Subspace as Subspace
    from geoexplorer.geometry.linear_subspace import dct_block as dct_block
    from geoexplorer.geometry.linear_subspace import dct_diagonal as dct_diagonal
    from geoexplorer.geometry.mean_curvature import CurvatureDensity as CurvatureDensity
    from geoexplorer.geometry.mean_curvature import MeanCurvature as MeanCurvature
    from geoexplorer.geometry.mean_curvature import curvature_density as curvature_density
    from geoexplorer.geometry.mean_curvature import (
        curvature_density_steps as curvature_density_steps,
    )
    from geoexplorer.geometry.mean_curvature import mean_curvature as mean_curvature
    from geoexplorer.geometry.mean_curvature import mean_curvature_steps as mean_curvature_steps
    from geoexplorer.geometry.noise import NoiseSensitivity as NoiseSensitivity
    from geoexplorer.geometry.noise import noise_sensitivity as noise_sensitivity
    from geoexplorer.geometry.noise import noise_sensitivity_steps as noise_sensitivity_steps
    from geoexplorer.geometry.normal_curvature import NormalCurvature as NormalCurvature
    from geoexplorer.geometry.normal_curvature import normal_curvature as normal_curvature
    from geoexplorer.geometry.normal_curvature import (
        normal_curvature_steps as normal_curvature_steps,
    )
    from geoexplorer.geometry.normal_sections import NormalSections as NormalSections
    from geoexplorer.geometry.normal_sections import normal_sections as normal_sections
    from geoexplorer.geometry.normal_sections import normal_sections_steps as normal_sections_steps
    from geoexplorer.geometry.paths import connect as connect
    from geoexplorer.geometry.paths import connect_steps as connect_steps
    from geoexplorer.geometry.paths import enter_region as enter_region
    from geoexplorer.geometry.planes import Plane as Plane
    from geoexplorer.geometry.region_path import RegionPath as RegionPath
    from geoexplorer.geometry.relative_curvature import RelativeCurvature as RelativeCurvature
    from geoexplorer.geometry.relative_curvature import relative_curvature as relative_curvature
    from geoexplorer.geometry.relative_curvature import (
        relative_curvature_steps as relative_curvature_steps,
    )
    from geoexplorer.geometry.sections import CrossSection as CrossSection
    from geoexplorer.geometry.sections import cross_section as cross_section
    from geoexplorer.geometry.sections import cross_section_steps as cross_section_steps
    from geoexplorer.geometry.segment_proof import SegmentProof as SegmentProof
    from geoexplorer.geometry.shared_directions import SharedDirections as SharedDirections
    from geoexplorer.geometry.subspace_margins import SubspaceMargins as SubspaceMargins
    from geoexplorer.geometry.subspace_margins import subspace_margins as subspace_margins
    from geoexplorer.geometry.subspace_margins import (
        subspace_margins_steps as subspace_margins_steps,
    )
    from geoexplorer.geometry.subspace_shares import SubspaceShares as SubspaceShares
    from geoexplorer.geometry.subspace_shares import subspace_shares as subspace_shares
    from geoexplorer.geometry.subspaces import shared_directions as shared_directions
    from geoexplorer.geometry.subspaces import shared_directions_steps as shared_directions_steps
    from geoexplorer.image_files import ImageFiles as ImageFiles
    from geoexplorer.images import ImageSet as ImageSet
    from geoexplorer.images import load_images as load_images
    from geoexplorer.studies import StoredStudy as StoredStudy
    from geoexplorer.studies import Study as Study
    from geoexplorer.studies import open_study as open_study
    from geoexplorer.widgets.explore import explore as explore
    from geoexplorer.zoo import list_classifiers as list_classifiers
    from geoexplorer.zoo import load_classifier as load_classifier

# Loaded when first used: a batch worker has no plotly, and the command line needs no torch.
_HOME = {
    "BoundaryPoints": "geometry.boundary",
    "Classifier": "classifier",
    "Connectivity": "geometry.connectivity",
    "ConvexCombinations": "geometry.convex_combinations",
    "CrossSection": "geometry.sections",
    "CurvatureByStep": "geometry.curvature_by_step",
    "CurvatureDensity": "geometry.mean_curvature",
    "Detection": "geometry.detection",
    "DetectionAlong": "geometry.detection_along",
    "DetectionROC": "geometry.detection_roc",
    "ImageFiles": "image_files",
    "ImageSet": "images",
    "MeanCurvature": "geometry.mean_curvature",
    "NoiseSensitivity": "geometry.noise",
    "NormalCurvature": "geometry.normal_curvature",
    "NormalSections": "geometry.normal_sections",
    "Plane": "geometry.planes",
    "PrincipalCurvatures": "geometry.curvature",
    "RegionPath": "geometry.region_path",
    "RelativeCurvature": "geometry.relative_curvature",
    "SegmentProof": "geometry.segment_proof",
    "SharedDirections": "geometry.shared_directions",
    "StoredStudy": "studies",
    "Study": "studies",
    "Subspace": "geometry.linear_subspace",
    "SubspaceMargins": "geometry.subspace_margins",
    "SubspaceShares": "geometry.subspace_shares",
    "connect": "geometry.paths",
    "connect_steps": "geometry.paths",
    "connectivity": "geometry.connectivity",
    "connectivity_steps": "geometry.connectivity",
    "convex_combinations": "geometry.convex_combinations",
    "convex_combinations_steps": "geometry.convex_combinations",
    "cross_section": "geometry.sections",
    "cross_section_steps": "geometry.sections",
    "curvature_by_step": "geometry.curvature_by_step",
    "curvature_by_step_steps": "geometry.curvature_by_step",
    "curvature_density": "geometry.mean_curvature",
    "curvature_density_steps": "geometry.mean_curvature",
    "dct_block": "geometry.linear_subspace",
    "dct_diagonal": "geometry.linear_subspace",
    "detect": "geometry.detection",
    "detect_along": "geometry.detection_along",
    "detect_along_steps": "geometry.detection_along",
    "detect_steps": "geometry.detection",
    "detection_roc": "geometry.detection_roc",
    "detection_roc_steps": "geometry.detection_roc",
    "enter_region": "geometry.paths",
    "explore": "widgets.explore",
    "list_classifiers": "zoo",
    "load_classifier": "zoo",
    "load_images": "images",
    "mean_curvature": "geometry.mean_curvature",
    "mean_curvature_steps": "geometry.mean_curvature",
    "nearest_boundary": "geometry.boundary",
    "nearest_boundary_steps": "geometry.boundary",
    "noise_sensitivity": "geometry.noise",
    "noise_sensitivity_steps": "geometry.noise",
    "normal_curvature": "geometry.normal_curvature",
    "normal_curvature_steps": "geometry.normal_curvature",
    "normal_sections": "geometry.normal_sections",
    "normal_sections_steps": "geometry.normal_sections",
    "principal_curvatures": "geometry.curvature",
    "principal_curvatures_steps": "geometry.curvature",
    "open_study": "studies",
    "prove_segment": "geometry.certificates",
    "prove_segment_steps": "geometry.certificates",
    "relative_curvature": "geometry.relative_curvature",
    "relative_curvature_steps": "geometry.relative_curvature",
    "shared_directions": "geometry.subspaces",
    "shared_directions_steps": "geometry.subspaces",
    "subspace_margins": "geometry.subspace_margins",
    "subspace_margins_steps": "geometry.subspace_margins",
    "subspace_shares": "geometry.subspace_shares",
}

_MODULES = ("figures", "jobs")  # imported when they are asked for

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            value: Any = version("geoexplorer")
        except PackageNotFoundError:  # a checkout that was never installed
            value = "0+unknown"
    elif name in _HOME:
        value = getattr(import_module(f"geoexplorer.{_HOME[name]}"), name)
    elif name in _MODULES:
        return import_module(f"geoexplorer.{name}")
    else:
        raise AttributeError(f"module 'geoexplorer' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
